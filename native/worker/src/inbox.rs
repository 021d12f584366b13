use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use snakepit_protocol::chunk_size;
use snakepit_protocol::pb::{Entry, StreamResponse};
use tokio::sync::Notify;

use crate::call::CallState;
use crate::errands::Errands;
use crate::inject;
use crate::outbox::Outbox;
use crate::response::{self, Failure};
use crate::value::arguments;

/// Without credit at most so many chunks are read ahead of the handler ...
const READ_AHEAD: usize = 16;
/// ... and so many bytes, or one chunk.
const READ_AHEAD_BYTES: usize = 1024 * 1024;

/// Chunks on their way from the caller to a handler.
///
/// With credit the caller never sends more than the window, and everything it sends is taken at
/// once: acknowledgements for the other direction come by the same stream and must not wait behind
/// chunks. Without credit the reader waits for [`room`](Self::room), which closes the HTTP/2 window.
pub(crate) struct Inbox {
    window: usize,
    max_buffer: usize,
    /// Where acknowledgements go.
    outbox: Arc<Outbox<StreamResponse>>,
    state: Mutex<State>,
    arrived: Condvar,
    room: Notify,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<(Vec<Entry>, usize)>,
    bytes: usize,
    end: Option<End>,
    unacknowledged: usize,
    unacknowledged_bytes: usize,
    on_ready: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone)]
enum End {
    Complete,
    Failed(String),
    Gone,
}

enum Taken {
    Chunk(Vec<Entry>),
    Nothing,
    End(End),
}

impl Inbox {
    pub(crate) fn new(
        window: usize,
        max_buffer: usize,
        outbox: Arc<Outbox<StreamResponse>>,
    ) -> Arc<Self> {
        let (state, arrived) = (Mutex::default(), Condvar::new());
        Arc::new(Inbox { window, max_buffer, outbox, state, arrived, room: Notify::new() })
    }

    /// Takes a chunk from the caller. False when it exceeds the credit it was given.
    pub(crate) fn put(&self, chunk: Vec<Entry>) -> bool {
        let size = chunk_size(&chunk);
        let mut state = self.lock();
        if self.window > 0 && state.chunks.len() >= self.window {
            return false;
        }
        state.chunks.push_back((chunk, size));
        state.bytes += size;
        self.tell_handler(state);
        true
    }

    /// The caller's input is complete.
    pub(crate) fn complete(&self) {
        self.end(End::Complete);
    }

    /// The caller's input ended with an error.
    pub(crate) fn fail(&self, reason: String) {
        self.end(End::Failed(reason));
    }

    /// The caller has gone: what it sent is of no use any more.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.chunks.clear();
        state.end = Some(End::Gone);
        self.tell_handler(state);
    }

    /// Waits until the handler has taken enough to read more. Only without credit.
    pub(crate) async fn room(&self) {
        loop {
            {
                let state = self.lock();
                let full = state.chunks.len() >= READ_AHEAD || state.bytes >= READ_AHEAD_BYTES;
                if self.window > 0 || !full || state.end.is_some() {
                    return;
                }
            }
            self.room.notified().await;
        }
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.end = Some(end);
            self.tell_handler(state);
        }
    }

    fn tell_handler(&self, mut state: MutexGuard<'_, State>) {
        let on_ready = state.on_ready.take();
        drop(state);
        // A handler may read on several threads, and all of them are to hear of the end.
        self.arrived.notify_all();
        if let Some(on_ready) = on_ready {
            on_ready();
        }
    }

    fn take(&self) -> Taken {
        let mut state = self.lock();
        let taken = match state.chunks.pop_front() {
            Some((chunk, size)) => {
                state.bytes -= size;
                state.unacknowledged += 1;
                state.unacknowledged_bytes += size;
                Taken::Chunk(chunk)
            }
            None => state.end.clone().map_or(Taken::Nothing, Taken::End),
        };
        // In halves of the window, so that the caller fills one while the other is consumed; and
        // before waiting, as it may be the other limit that holds the caller up.
        let due = state.unacknowledged * 2 >= self.window
            || state.unacknowledged_bytes * 2 >= self.max_buffer
            || state.chunks.is_empty();
        if self.window > 0 && due && state.unacknowledged > 0 {
            state.unacknowledged_bytes = 0;
            let acknowledged = std::mem::take(&mut state.unacknowledged);
            drop(state);
            self.outbox.put_aside(response::ack(acknowledged));
        } else {
            drop(state);
        }
        self.room.notify_one();
        taken
    }

    fn wait(&self) {
        let mut state = self.lock();
        while state.chunks.is_empty() && state.end.is_none() {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn on_ready(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.chunks.is_empty() && state.end.is_none() {
            state.on_ready = Some(Box::new(callback));
        } else {
            drop(state);
            callback();
        }
    }

    // Callbacks run after the lock, and nothing awaits under it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The caller's chunks as a handler sees them: an iterator of dicts for a sync handler, and a
/// source for the asyncio loop.
#[pyclass(frozen, module = "snakepit_bridge._native")]
pub(crate) struct Chunks {
    inbox: Arc<Inbox>,
    state: Arc<CallState>,
    errands: Arc<Errands>,
}

impl Chunks {
    pub(crate) fn new(inbox: Arc<Inbox>, state: Arc<CallState>, errands: Arc<Errands>) -> Self {
        Chunks { inbox, state, errands }
    }

    /// The handler hears by this that its caller has gone, and cleans up.
    fn gone(&self, py: Python<'_>) -> PyErr {
        self.state.tell(py);
        inject::cancelled(py)
    }

    fn dict<'py>(&self, py: Python<'py>, chunk: Vec<Entry>) -> PyResult<Bound<'py, PyDict>> {
        arguments(py, chunk, self.state.head.codec).map_err(|failure| match failure {
            Failure::Python(error) => error,
            failure => inject::input_failed(py, &failure.into_plain_detail().message),
        })
    }
}

#[pymethods]
impl Chunks {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Waits for the next chunk. Raises InputFailed when the caller's input failed, and Cancelled
    /// when the caller has gone.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        loop {
            match self.inbox.take() {
                Taken::Chunk(chunk) => return self.dict(py, chunk).map(Some),
                Taken::Nothing => self.state.wait(py, || self.inbox.wait()),
                Taken::End(End::Complete) => return Ok(None),
                Taken::End(End::Failed(reason)) => return Err(inject::input_failed(py, &reason)),
                Taken::End(End::Gone) => return Err(self.gone(py)),
            }
        }
    }

    /// The next chunk, or None when it is not there yet. Raises StopAsyncIteration at the end.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        match self.inbox.take() {
            Taken::Chunk(chunk) => self.dict(py, chunk).map(Some),
            Taken::Nothing => Ok(None),
            Taken::End(End::Complete) => Err(PyStopAsyncIteration::new_err(())),
            Taken::End(End::Failed(reason)) => Err(inject::input_failed(py, &reason)),
            Taken::End(End::Gone) => Err(self.gone(py)),
        }
    }

    /// Calls `callback()` once, from any thread, when `take` is worth another try.
    fn on_ready(&self, callback: Py<PyAny>) {
        let errands = Arc::clone(&self.errands);
        // Called from the tokio thread it must not wait for the GIL there.
        self.inbox.on_ready(move || errands.call_back(callback));
    }
}
