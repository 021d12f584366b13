//! Arrays of numbers. What they are made of and made as, is said in `snakepit_bridge._arrays`, once
//! for all transports.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use snakepit_protocol::value::{ValueError, Writer, ndarray};

use super::buffer;

static TAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

const MODULE: &str = "snakepit_bridge._arrays";

/// Writes an array; `false` if the object is none.
pub(super) fn write(
    writer: &mut Writer,
    value: &Bound<'_, PyAny>,
    depth: usize,
) -> Result<bool, ValueError> {
    let py = value.py();
    let taken = TAKE.import(py, MODULE, "take").and_then(|take| take.call1((value,)));
    let taken = taken.map_err(|error| refused(py, &error))?;
    if taken.is_none() {
        return Ok(false);
    }
    let (shape, dtype, data): (Vec<u64>, String, Bound<'_, PyAny>) =
        taken.extract().map_err(|error| refused(py, &error))?;
    ndarray::open(writer, &shape, &dtype, depth)?;
    buffer::with_bytes(&data, |bytes| writer.binary(bytes)).map_err(|error| refused(py, &error))?;
    Ok(true)
}

/// What `{"__array__": form}` stands for: an array, or just that.
pub(super) fn make<'py>(form: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, ValueError> {
    let py = form.py();
    let made = MAKE.import(py, MODULE, "make").and_then(|make| make.call1((form,)));
    made.map_err(|error| refused(py, &error))
}

fn refused(py: Python<'_>, error: &PyErr) -> ValueError {
    if error.is_instance_of::<PyValueError>(py) {
        ValueError::new(error.value(py).to_string())
    } else {
        ValueError::new(error.to_string())
    }
}
