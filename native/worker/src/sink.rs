use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::calls::OpenCall;
use crate::context::Call;
use crate::dispatcher::Handler;
use crate::inbox::Chunks;
use crate::inject;
use crate::outbox::Room;
use crate::response::Failure;
use crate::streaming::Pump;
use crate::unary::{Reply, respond};
use crate::worker::Worker;

/// Where an async handler's answer goes: called by the asyncio loop, one method per thing that
/// can happen there.
#[pyclass(frozen, module = "snakepit_bridge._native")]
pub(crate) struct Sink {
    outlet: Mutex<Option<Outlet>>,
}

enum Outlet {
    Unary { worker: Arc<Worker>, state: Arc<OpenCall>, reply: Reply },
    Stream(Box<Pump>),
}

impl Sink {
    pub(crate) fn unary(worker: Arc<Worker>, state: Arc<OpenCall>, reply: Reply) -> Self {
        Sink { outlet: Mutex::new(Some(Outlet::Unary { worker, state, reply })) }
    }

    pub(crate) fn stream(pump: Pump) -> Self {
        Sink { outlet: Mutex::new(Some(Outlet::Stream(Box::new(pump)))) }
    }

    /// Hands the call to the asyncio loop.
    pub(crate) fn begin(
        py: Python<'_>,
        worker: &Worker,
        handler: &Handler,
        state: &Arc<OpenCall>,
        args: Bound<'_, PyDict>,
        chunks: Option<Chunks>,
        sink: Sink,
    ) {
        let begun = Bound::new(py, sink).and_then(|sink| {
            let call = Bound::new(py, Call { state: state.state() })?;
            let runner = worker.dispatcher.async_runner(py)?;
            let entry = handler.entry_for(py, &state.head)?;
            let source = chunks.map(|chunks| Bound::new(py, chunks)).transpose()?;
            match runner.call_method1("submit", (entry, args, call, &sink, source)) {
                Ok(task) => {
                    state.enter_loop(runner.getattr("cancel")?.unbind(), task.unbind());
                    Ok(())
                }
                // Nobody else will answer.
                Err(error) => sink.get().close(py, Err(error.into())),
            }
        });
        if let Err(error) = begun {
            error.print(py);
        }
    }

    fn close(
        &self,
        py: Python<'_>,
        result: Result<Option<Bound<'_, PyAny>>, Failure>,
    ) -> PyResult<()> {
        // A second end has nobody to go to.
        let Some(outlet) = self.lock().take() else {
            return Ok(());
        };
        match outlet {
            Outlet::Unary { worker, state, reply } => {
                let value = result.map(|value| value.unwrap_or_else(|| PyDict::new(py).into_any()));
                let response = respond(py, &worker, &state, value);
                state.leave(py);
                reply(response);
            }
            Outlet::Stream(mut pump) => pump.end(py, result),
        }
        Ok(())
    }

    // Held with the GIL, by threads that do not give it up meanwhile.
    fn lock(&self) -> MutexGuard<'_, Option<Outlet>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Sink {
    /// Offers a chunk. False: there is no room; offer the same chunk again after `on_room`.
    /// Raises `Cancelled` when the peer has gone, and what is wrong with a chunk that cannot
    /// be sent.
    fn send(&self, py: Python<'_>, chunk: &Bound<'_, PyAny>) -> PyResult<bool> {
        // Encoding runs Python: the outlet is taken out so that no lock is held meanwhile.
        let Some(Outlet::Stream(mut pump)) = self.lock().take() else {
            return Err(inject::cancelled(py));
        };
        let sent = match pump.room() {
            Room::None => Ok(false),
            Room::Gone => Err(gone(py, &pump)),
            Room::Some => match pump.encode(chunk) {
                Ok((chunk, size)) => {
                    if pump.put(chunk, size) {
                        Ok(true)
                    } else {
                        Err(gone(py, &pump))
                    }
                }
                Err(failure) => {
                    // The stream ends here, with this error; the handler is told to stop.
                    pump.end(py, Err(failure));
                    return Err(inject::cancelled(py));
                }
            },
        };
        *self.lock() = Some(Outlet::Stream(pump));
        sent
    }

    /// Calls `callback()` once, from any thread, when there is room or the peer has gone.
    fn on_room(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
        let outlet = self.lock();
        let Some(Outlet::Stream(pump)) = &*outlet else {
            return Err(inject::cancelled(py));
        };
        let errands = pump.errands();
        // Called from the tokio thread it must not wait for the GIL there.
        pump.on_room(move || errands.call_back(callback));
        Ok(())
    }

    /// Ends the call with its result, or the stream with its final chunk (None: an empty one).
    fn finish(&self, py: Python<'_>, value: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        self.close(py, Ok(value))
    }

    /// Ends the call with an exception.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py, Err(PyErr::from_value(error).into()))
    }
}

/// The handler hears by this that its peer has gone, and cleans up.
fn gone(py: Python<'_>, pump: &Pump) -> PyErr {
    pump.state.tell(py);
    inject::cancelled(py)
}
