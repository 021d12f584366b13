//! One step of a Python generator, told apart by what ends it.

use pyo3::prelude::*;
use pyo3::types::PyIterator;

/// What a generator did when it was asked for its next item.
pub(crate) enum Step<'py> {
    Yielded(Bound<'py, PyAny>),
    /// With what it returned, unless that is None.
    Returned(Option<Bound<'py, PyAny>>),
}

#[cfg(all(not(PyPy), Py_3_10))]
pub(crate) fn step<'py>(generator: &Bound<'py, PyIterator>) -> PyResult<Step<'py>> {
    use pyo3::types::iterator::PySendResult;

    let none = generator.py().None().into_bound(generator.py());
    Ok(match generator.send(&none)? {
        PySendResult::Next(item) => Step::Yielded(item),
        PySendResult::Return(value) => Step::Returned((!value.is_none()).then_some(value)),
    })
}

/// Python 3.9 has no way to tell a return from an error without an exception.
#[cfg(not(all(not(PyPy), Py_3_10)))]
pub(crate) fn step<'py>(generator: &Bound<'py, PyIterator>) -> PyResult<Step<'py>> {
    use pyo3::exceptions::PyStopIteration;

    let py = generator.py();
    match generator.call_method0("__next__") {
        Ok(item) => Ok(Step::Yielded(item)),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            let value = error.value(py).getattr("value")?;
            Ok(Step::Returned((!value.is_none()).then_some(value)))
        }
        Err(error) => Err(error),
    }
}
