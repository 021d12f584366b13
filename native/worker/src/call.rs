use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use snakepit_protocol::pb::{Codec, Entry};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::inject;

/// A generator that is asked to stop is given so long to come to its next `yield` before
/// `Cancelled` is raised in it where it stands.
const YIELD_GRACE: Duration = Duration::from_millis(15);

/// What a request says of its call.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) command: String,
    pub(crate) request_id: String,
    pub(crate) session_id: String,
    pub(crate) metadata: Vec<Entry>,
    pub(crate) codec: Codec,
    /// `time.monotonic()` seconds.
    pub(crate) deadline: Option<f64>,
}

/// One call in this worker, from its receipt to its last message.
pub(crate) struct CallState {
    pub(crate) head: Head,
    id: u64,
    calls: Arc<Calls>,
    cancelled: AtomicBool,
    run: Mutex<Run>,
}

/// Where the handler of a call is.
enum Run {
    Waiting,
    /// On a thread with this Python ident; a generator may be expected to yield. Once it is
    /// cancelled it no longer counts against the worker's threads.
    Thread {
        ident: u64,
        generator: bool,
        stuck: bool,
    },
    /// On the asyncio loop: what cancels it there, called with its task.
    Loop {
        cancel: Py<PyAny>,
        task: Py<PyAny>,
    },
    Over,
}

impl std::fmt::Debug for CallState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallState").field("head", &self.head).finish_non_exhaustive()
    }
}

impl CallState {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// The handler begins on the current thread. False when the call was cancelled before.
    pub(crate) fn enter(&self, ident: u64, generator: bool) -> bool {
        let mut run = self.lock();
        if self.is_cancelled() {
            *run = Run::Over;
            return false;
        }
        *run = Run::Thread { ident, generator, stuck: false };
        true
    }

    /// The handler begins on the asyncio loop. False when the call was cancelled before: then
    /// the caller cancels what it has begun.
    pub(crate) fn enter_loop(&self, cancel: Py<PyAny>, task: Py<PyAny>) -> bool {
        let mut run = self.lock();
        // It may have finished already: the loop is faster than we are.
        if let Run::Waiting = *run {
            *run = Run::Loop { cancel, task };
        }
        !self.is_cancelled()
    }

    /// The handler has ended. With the GIL held, as whoever injects an exception holds it: none
    /// can reach this thread for this call any more.
    pub(crate) fn leave(&self, py: Python<'_>) {
        let before = std::mem::replace(&mut *self.lock(), Run::Over);
        if let Run::Thread { ident, stuck: true, .. } = before {
            inject::clear(py, ident);
            self.calls.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Stops the call; its peer waits for nothing any more. Does not block.
    pub(crate) fn cancel(self: &Arc<Self>) {
        if self.cancelled.swap(true, Ordering::AcqRel) {
            return;
        }
        let grace = match &mut *self.lock() {
            Run::Waiting | Run::Over => return,
            Run::Loop { .. } => Duration::ZERO,
            Run::Thread { generator, stuck, .. } => {
                *stuck = true;
                self.calls.stuck.fetch_add(1, Ordering::Relaxed);
                if *generator { YIELD_GRACE } else { Duration::ZERO }
            }
        };
        let state = Arc::clone(self);
        self.calls.runtime.spawn(async move {
            if !grace.is_zero() {
                tokio::time::sleep(grace).await;
            }
            let target = Arc::clone(&state);
            // The GIL may be held by the very handler that is to be stopped.
            let raised = tokio::task::spawn_blocking(move || target.interrupt());
            state.enforce().await;
            let _ = raised.await;
        });
    }

    /// Raises in the handler, if it still runs.
    fn interrupt(&self) {
        Python::attach(|py| {
            let run = self.lock();
            match &*run {
                // Under the lock no Python runs: the thread could not leave, and would hold the GIL.
                Run::Thread { ident, .. } => inject::raise(py, *ident),
                Run::Loop { cancel, task } => {
                    let (cancel, task) = (cancel.clone_ref(py), task.clone_ref(py));
                    drop(run);
                    if let Err(error) = cancel.call1(py, (task,)) {
                        error.print(py);
                    }
                }
                Run::Waiting | Run::Over => {}
            }
        });
    }

    /// A handler that goes on beyond the grace time costs the process: nothing else stops it.
    async fn enforce(&self) {
        tokio::time::sleep(self.calls.cancel_grace).await;
        if !matches!(&*self.lock(), Run::Over) {
            self.calls.give_up(&self.head.command);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CallState {
    fn drop(&mut self) {
        let mut running = self.calls.lock();
        running.remove(&self.id);
        if running.is_empty() {
            self.calls.idle.notify_waiters();
        }
    }
}

/// All calls of the worker.
pub(crate) struct Calls {
    runtime: Handle,
    cancel_grace: Duration,
    worker_id: String,
    next_id: AtomicU64,
    running: Mutex<HashMap<u64, Weak<CallState>>>,
    stuck: AtomicUsize,
    idle: Notify,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").field("running", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Calls {
    pub(crate) fn new(runtime: Handle, worker_id: String, cancel_grace: Duration) -> Arc<Self> {
        Arc::new(Calls {
            runtime,
            cancel_grace,
            worker_id,
            next_id: AtomicU64::new(0),
            running: Mutex::default(),
            stuck: AtomicUsize::new(0),
            idle: Notify::new(),
        })
    }

    /// Registers a call that has come in.
    pub(crate) fn open(self: &Arc<Self>, head: Head) -> Arc<CallState> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let call = Arc::new(CallState {
            head,
            id,
            calls: Arc::clone(self),
            cancelled: AtomicBool::new(false),
            run: Mutex::new(Run::Waiting),
        });
        self.lock().insert(id, Arc::downgrade(&call));
        call
    }

    pub(crate) fn worker_id(&self) -> &str {
        &self.worker_id
    }

    pub(crate) fn active(&self) -> usize {
        self.lock().len()
    }

    /// Cancelled calls that still hold a thread.
    pub(crate) fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Calls ever received.
    pub(crate) fn total(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed)
    }

    /// Returns once no call is open.
    pub(crate) async fn until_idle(&self) {
        loop {
            let mut idle = pin!(self.idle.notified());
            // Registered before the look, so that the last call's end is not missed.
            idle.as_mut().enable();
            if self.active() == 0 {
                return;
            }
            idle.await;
        }
    }

    pub(crate) fn cancel_all(&self) {
        // Upgraded calls are dropped outside the lock, which their drop takes.
        let running: Vec<_> = self.lock().values().filter_map(Weak::upgrade).collect();
        running.iter().for_each(CallState::cancel);
    }

    fn give_up(&self, command: &str) {
        eprintln!(
            "snakepit: {command} went on for {} ms after its cancellation; \
             worker {} ends, and is replaced",
            self.cancel_grace.as_millis(),
            self.worker_id
        );
        crate::process::end_group();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Weak<CallState>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        PyString::new(py, self.state.calls.worker_id())
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
    fn cancelled(&self) -> bool {
        self.state.is_cancelled()
    }
}
