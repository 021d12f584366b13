//! The memory of Python objects, borrowed: the only file of the worker that reads by pointer.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;

/// Gives `read` the bytes of an object that has the buffer protocol and is contiguous, whatever
/// their format is. It must not run Python.
#[allow(unsafe_code)]
pub(super) fn with_bytes<T>(
    object: &Bound<'_, PyAny>,
    read: impl FnOnce(&[u8]) -> T,
) -> PyResult<T> {
    let buffer = PyUntypedBuffer::get(object)?;
    if !buffer.is_c_contiguous() {
        return Err(PyBufferError::new_err("the buffer is not contiguous"));
    }
    if buffer.len_bytes() == 0 {
        return Ok(read(&[]));
    }
    // SAFETY: the exporter keeps so many bytes there as long as the buffer is not released, and
    // nobody writes to them, because this thread is attached to the interpreter all the while.
    let bytes =
        unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    Ok(read(bytes))
}
