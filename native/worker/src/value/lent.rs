//! Python's `bytes` on their way out, without a copy.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::calls;

/// What comes back is freed with the next that is lent, or after so long.
const PATIENCE: Duration = Duration::from_millis(20);

/// Objects that have been sent. Only a thread with the GIL may free them, and the one that sends
/// must not wait for it.
static RETURNED: Mutex<Returned> = Mutex::new(Returned { objects: Vec::new(), awaited: false });

struct Returned {
    objects: Vec<PyBackedBytes>,
    /// Somebody will come for them.
    awaited: bool,
}

struct Lent(Option<PyBackedBytes>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut returned = returned();
        returned.objects.extend(self.0.take());
        if !std::mem::replace(&mut returned.awaited, true) {
            drop(returned);
            fetch_later();
        }
    }
}

/// The memory of `bytes`, which lives until the last part of it is dropped.
pub(super) fn lend(bytes: &Bound<'_, PyBytes>) -> Bytes {
    take_back(bytes.py());
    Bytes::from_owner(Lent(Some(PyBackedBytes::from(bytes.clone()))))
}

fn take_back(_py: Python<'_>) {
    let objects = std::mem::take(&mut returned().objects);
    // Freed out of the lock.
    drop(objects);
}

fn fetch_later() {
    let Some(calls) = calls::current() else {
        return;
    };
    let errands = calls.errands.clone();
    calls.runtime.spawn(async move {
        tokio::time::sleep(PATIENCE).await;
        errands.run(|py| {
            returned().awaited = false;
            take_back(py);
        });
    });
}

// Nothing of Python runs under the lock.
fn returned() -> MutexGuard<'static, Returned> {
    RETURNED.lock().unwrap_or_else(PoisonError::into_inner)
}
