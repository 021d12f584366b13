//! The values of a plain peer, by the rule it knows: text and bytes as they are, everything else
//! as JSON; on the way in what parses as JSON is decoded.

use bytes::Bytes;
use pyo3::exceptions::{PyUnicodeDecodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

pub(super) fn read<'py>(py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new(py, value);
    let parsed = py.import("json")?.call_method1("loads", (&bytes,));
    match parsed {
        Ok(value) => Ok(value),
        // Not JSON, or bytes in no encoding that JSON may have.
        Err(error)
            if error.is_instance_of::<PyValueError>(py)
                || error.is_instance_of::<PyUnicodeDecodeError>(py) =>
        {
            Ok(match std::str::from_utf8(value) {
                Ok(text) => PyString::new(py, text).into_any(),
                Err(_) => bytes.into_any(),
            })
        }
        Err(error) => Err(error),
    }
}

pub(super) fn write(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Bytes::copy_from_slice(text.to_str()?.as_bytes()));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    let text = value.py().import("json")?.call_method1("dumps", (value,))?;
    Ok(Bytes::copy_from_slice(text.cast::<PyString>()?.to_str()?.as_bytes()))
}
