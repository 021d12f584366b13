//! Large values on their way into Python, which give their memory back while they are copied: a value
//! of 100 MB takes 100 MB at its peak, not 200.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// From this size on. Below, the calls to the system cost more than the memory is worth.
const FROM: usize = 8 * 1024 * 1024;

/// So much is copied before its memory is given back.
const STEP: usize = 1024 * 1024;

/// `data` as Python's bytes. Whoever calls this is the last to read it: what is large does not hold
/// what it did afterwards.
pub(super) fn into_bytes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    if data.len() < FROM {
        return Ok(PyBytes::new(py, data));
    }
    // Unlike `new_with` it does not write zeros first, which would take all the memory before any is
    // given back.
    PyBytes::new_with_writer(py, data.len(), |bytes| {
        data.chunks(STEP).try_for_each(|part| {
            bytes.write_bytes(part)?;
            give_back(part);
            Ok(())
        })
    })
}

/// Gives the whole pages within `data` back to the system.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn give_back(data: &[u8]) {
    use std::ptr::NonNull;

    use nix::sys::mman::{MmapAdvise, madvise};
    use nix::unistd::{SysconfVar, sysconf};

    let Ok(Some(page)) = sysconf(SysconfVar::PAGE_SIZE) else {
        return;
    };
    let page = page.unsigned_abs() as usize;
    let skipped = data.as_ptr().align_offset(page);
    let whole = data.len().saturating_sub(skipped) / page * page;
    let Some(start) = data.get(skipped..).and_then(|rest| NonNull::new(rest.as_ptr().cast_mut()))
    else {
        return;
    };
    if whole > 0 {
        // SAFETY: these pages are within one allocation of ours, private and anonymous as all memory of
        // the allocator is, so they turn to zeros. Nobody reads them again: they are part of a
        // value, which only its one reader, who is past them, refers to.
        let _ = unsafe { madvise(start.cast(), whole, MmapAdvise::MADV_DONTNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
fn give_back(_data: &[u8]) {}
