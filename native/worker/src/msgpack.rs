//! The MessagePack values of the contract for transports written in Python.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::inject;
use crate::value;

/// Packs one value. Raises EncodingError, whose message names the path from `root` on.
#[pyfunction]
#[pyo3(signature = (value, root="value"))]
pub(crate) fn pack<'py>(value: &Bound<'py, PyAny>, root: &str) -> PyResult<Bound<'py, PyBytes>> {
    let py = value.py();
    match value::pack(value) {
        Ok(packed) => Ok(PyBytes::new(py, &packed)),
        Err(error) => Err(inject::encoding_failed(py, &error.describe(root))),
    }
}

/// Unpacks one value, which must be all of `data`. Raises EncodingError.
#[pyfunction]
#[pyo3(signature = (data, root="value"))]
pub(crate) fn unpack<'py>(py: Python<'py>, data: &[u8], root: &str) -> PyResult<Bound<'py, PyAny>> {
    value::unpack(py, data).map_err(|error| inject::encoding_failed(py, &error.describe(root)))
}
