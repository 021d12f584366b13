//! Raising an exception in another Python thread, which is `unsafe`.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

static CANCELLED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static INPUT_FAILED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static ENCODING_FAILED: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Python's own name for the current thread.
#[allow(unsafe_code)]
pub(crate) fn current_thread(_py: Python<'_>) -> u64 {
    // SAFETY: reads the calling thread's identity and has no preconditions.
    #[allow(clippy::useless_conversion)]
    u64::from(unsafe { ffi::PyThread_get_thread_ident() })
}

/// Looks up what is raised here, so that raising runs no Python itself. To be called first.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let exceptions = py.import("snakepit_bridge._exceptions")?;
    for (slot, name) in [
        (&CANCELLED, "Cancelled"),
        (&INPUT_FAILED, "InputFailed"),
        (&ENCODING_FAILED, "EncodingError"),
    ] {
        let _ = slot.set(py, exceptions.getattr(name)?.cast_into::<PyType>()?.unbind());
    }
    Ok(())
}

/// Raises `Cancelled` in `thread` at its next Python instruction.
#[allow(unsafe_code)]
pub(crate) fn raise(py: Python<'_>, thread: u64) {
    if let Some(class) = CANCELLED.get(py) {
        // SAFETY: the GIL is held, and the class is a live exception class, of which the
        // interpreter takes its own reference. An unknown thread is answered with 0.
        unsafe {
            ffi::PyThreadState_SetAsyncExc(thread as _, class.as_ptr());
        }
    }
}

/// A `Cancelled` to raise in the current thread.
pub(crate) fn cancelled(py: Python<'_>) -> PyErr {
    exception(py, &CANCELLED, "the caller has gone")
}

/// An `InputFailed` to raise in the current thread.
pub(crate) fn input_failed(py: Python<'_>, reason: &str) -> PyErr {
    exception(py, &INPUT_FAILED, reason)
}

/// An `EncodingError` to raise in the current thread.
pub(crate) fn encoding_failed(py: Python<'_>, problem: &str) -> PyErr {
    match prepare(py) {
        Ok(()) => exception(py, &ENCODING_FAILED, problem),
        Err(error) => error,
    }
}

fn exception(py: Python<'_>, class: &PyOnceLock<Py<PyType>>, message: &str) -> PyErr {
    let message = message.to_owned();
    match class.get(py) {
        Some(class) => PyErr::from_type(class.bind(py).clone(), message),
        None => pyo3::exceptions::PyRuntimeError::new_err(message),
    }
}

/// Takes back an exception that `thread` has not met yet.
#[allow(unsafe_code)]
pub(crate) fn clear(_py: Python<'_>, thread: u64) {
    // SAFETY: as above; a null exception clears the pending one.
    unsafe {
        ffi::PyThreadState_SetAsyncExc(thread as _, std::ptr::null_mut());
    }
}
