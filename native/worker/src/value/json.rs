//! The values of a plain peer, by the rule it knows: text and bytes as they are, everything else
//! as JSON; on the way in what parses as JSON is decoded.

use bytes::Bytes;
use pyo3::exceptions::{PyUnicodeDecodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::response::Failure;

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

/// `name` is that of the value in the dict that errors call `root`.
pub(super) fn write(value: &Bound<'_, PyAny>, root: &str, name: &str) -> Result<Bytes, Failure> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    if let Ok(text) = value.cast::<PyString>()
        && let Ok(text) = text.to_str()
    {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let py = value.py();
    let entries = py.import("snakepit_bridge.transports._plain")?;
    match entries.call_method1("write", (value, format!("{root}.{name}"))) {
        Ok(bytes) => {
            Ok(Bytes::copy_from_slice(bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes()))
        }
        Err(error) if error.is_instance(py, &entries.getattr("Refused")?) => {
            Err(Failure::Encoding(error.value(py).to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
