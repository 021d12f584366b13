use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use snakepit_protocol::pb::{Codec, Entry};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::inject;

/// A handler on a thread is given so long to come to its next `yield`, or to look for its
/// cancellation itself, before `Cancelled` is raised in it where it stands.
const POLITE_GRACE: Duration = Duration::from_millis(15);

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
    /// The handler knows that it is cancelled; from then on its clean-up is left in peace.
    told: AtomicBool,
    run: Mutex<Run>,
}

/// Where the handler of a call is.
enum Run {
    Waiting,
    /// On a thread with this Python ident. Once it is cancelled it no longer counts against the
    /// worker's threads.
    Thread {
        ident: u64,
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

    /// The handler hears of its cancellation, in a way of its own: nothing else is to tell it. With
    /// the GIL held, as whoever interrupts a handler holds it.
    pub(crate) fn tell(&self, py: Python<'_>) {
        let interrupted = self.told.swap(true, Ordering::Relaxed);
        if interrupted
            && let Run::Thread { ident, .. } = *self.lock()
            && ident == inject::current_thread(py)
        {
            // It was interrupted and has not met the exception yet, which would come on top.
            inject::clear(py, ident);
        }
    }

    /// The handler begins on the current thread. False when the call was cancelled before.
    pub(crate) fn enter(&self, ident: u64) -> bool {
        let mut run = self.lock();
        if self.is_cancelled() {
            *run = Run::Over;
            return false;
        }
        *run = Run::Thread { ident, stuck: false };
        true
    }

    /// The handler has begun on the asyncio loop, and may be over already: the loop is faster
    /// than we are. If the call was cancelled before, the handler is now.
    pub(crate) fn enter_loop(self: &Arc<Self>, cancel: Py<PyAny>, task: Py<PyAny>) {
        let mut run = self.lock();
        if let Run::Waiting = *run {
            *run = Run::Loop { cancel, task };
        }
        drop(run);
        if self.is_cancelled() {
            self.stop_after(Duration::ZERO);
        }
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
            Run::Thread { stuck, .. } => {
                *stuck = true;
                self.calls.stuck.fetch_add(1, Ordering::Relaxed);
                POLITE_GRACE
            }
        };
        self.calls.thread_given_up();
        self.stop_after(grace);
    }

    /// Interrupts the handler after `grace`. One that goes on beyond the grace time of the worker
    /// costs the process: nothing else stops it.
    fn stop_after(self: &Arc<Self>, grace: Duration) {
        let calls = Arc::clone(&self.calls);
        // Not held meanwhile: what is over is to be gone.
        let call = Arc::downgrade(self);
        calls.clone().runtime.spawn(async move {
            if !grace.is_zero() {
                tokio::time::sleep(grace).await;
            }
            let Some(target) = call.upgrade() else {
                return;
            };
            if !target.told.load(Ordering::Relaxed) {
                // The GIL may be held by the very handler that is to be stopped.
                tokio::task::spawn_blocking(move || target.interrupt());
            } else {
                drop(target);
            }
            tokio::time::sleep(calls.cancel_grace).await;
            if let Some(call) = call.upgrade()
                && !matches!(&*call.lock(), Run::Over)
            {
                calls.give_up(&call.head.command);
            }
        });
    }

    /// Tells the handler, if it still runs and does not know.
    fn interrupt(&self) {
        Python::attach(|py| {
            if self.told.swap(true, Ordering::Relaxed) {
                return;
            }
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
    on_thread_given_up: OnceLock<Box<dyn Fn() + Send + Sync>>,
    idle: Notify,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").field("running", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Calls {
    pub(crate) fn new(runtime: Handle, worker_id: String, cancel_grace: Duration) -> Arc<Self> {
        let calls = Arc::new(Calls {
            runtime,
            cancel_grace,
            worker_id,
            next_id: AtomicU64::new(0),
            running: Mutex::default(),
            stuck: AtomicUsize::new(0),
            on_thread_given_up: OnceLock::new(),
            idle: Notify::new(),
        });
        let _ = CALLS.set(Arc::downgrade(&calls));
        calls
    }

    /// `callback` is called when the thread of a cancelled call stops to count.
    pub(crate) fn on_thread_given_up(&self, callback: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_thread_given_up.set(Box::new(callback));
    }

    fn thread_given_up(&self) {
        if let Some(callback) = self.on_thread_given_up.get() {
            callback();
        }
    }

    /// Registers a call that has come in.
    pub(crate) fn open(self: &Arc<Self>, head: Head) -> Arc<CallState> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let call = Arc::new(CallState {
            head,
            id,
            calls: Arc::clone(self),
            cancelled: AtomicBool::new(false),
            told: AtomicBool::new(false),
            run: Mutex::new(Run::Waiting),
        });
        self.lock().insert(id, Arc::downgrade(&call));
        call
    }

    /// The call whose handler runs on the thread with this ident.
    fn on_thread(&self, thread: u64) -> Option<Arc<CallState>> {
        // Upgraded calls are dropped outside the lock, which their drop takes.
        let running: Vec<_> = self.lock().values().filter_map(Weak::upgrade).collect();
        let runs_here = |run: &Run| matches!(run, Run::Thread { ident, .. } if *ident == thread);
        running.into_iter().find(|call| runs_here(&call.lock()))
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

/// The calls of this process, for what is not passed its call: the log.
static CALLS: OnceLock<Weak<Calls>> = OnceLock::new();

/// The request id of the call that runs on the current thread; None elsewhere, and on the asyncio
/// loop, where calls take turns.
#[pyfunction]
pub(crate) fn current_request_id(py: Python<'_>) -> Option<String> {
    let call = CALLS.get()?.upgrade()?.on_thread(inject::current_thread(py))?;
    Some(call.head.request_id.clone())
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
    fn cancelled(&self, py: Python<'_>) -> bool {
        let cancelled = self.state.is_cancelled();
        if cancelled {
            self.state.tell(py);
        }
        cancelled
    }
}
