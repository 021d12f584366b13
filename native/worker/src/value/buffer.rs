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
    // SAFETY: the exporter keeps so many bytes there as long as the buffer is not released. No Python
    // runs that could write to them. What a thread without the interpreter computes into the same
    // array at this moment arrives half done, as with any reader of the buffer protocol.
    let bytes =
        unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    Ok(read(bytes))
}
