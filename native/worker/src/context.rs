use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::call::CallState;
use crate::{calls, inject};

/// The request id and the command of the call that runs on the current thread; None elsewhere, and
/// on the asyncio loop, where calls take turns.
#[pyfunction]
pub(crate) fn current_call(py: Python<'_>) -> Option<(String, String)> {
    let call = calls::current()?.on_thread(inject::current_thread(py))?;
    Some((call.head.request_id.clone(), call.head.command.clone()))
}

/// A call as its Python handler's context sees it.
#[pyclass(frozen, module = "snakepit_bridge._native")]
pub(crate) struct Call {
    pub(crate) state: Arc<CallState>,
}

#[pymethods]
impl Call {
    #[getter]
    fn command<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, &self.state.head.command)
    }

    #[getter]
    fn request_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, &self.state.head.request_id)
    }

    #[getter]
    fn session_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, &self.state.head.session_id)
    }

    #[getter]
    fn worker_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.state.worker_id())
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metadata = PyDict::new(py);
        for entry in &self.state.head.metadata {
            let (key, value) =
                (String::from_utf8_lossy(&entry.key), String::from_utf8_lossy(&entry.value));
            metadata.set_item(key, value)?;
        }
        Ok(metadata)
    }

    #[getter]
    fn deadline(&self) -> Option<f64> {
        self.state.head.deadline
    }

    #[getter]
    fn cancelled(&self, py: Python<'_>) -> bool {
        let cancelled = self.state.is_cancelled();
        if cancelled {
            self.state.tell(py);
        }
        cancelled
    }
}
