use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use snakepit_protocol::pb::{Codec, Entry};

use crate::calls::Calls;
use crate::reports::Heard;
use crate::{cancel, inject};

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

impl Head {
    /// Whether the call belongs to a trace, as `_tracing.py` knows it.
    pub(crate) fn is_traced(&self) -> bool {
        self.metadata.iter().any(|entry| entry.key == "traceparent")
    }
}

/// What is known of one call: what it was asked for, where its handler is, and whether it is
/// cancelled. Its handler may keep this for longer than the call.
pub(crate) struct CallState {
    pub(crate) head: Head,
    calls: Arc<Calls>,
    cancelled: OnceLock<Instant>,
    /// The handler knows that it is cancelled; from then on its clean-up is left in peace.
    told: AtomicBool,
    /// It knows by an exception that was raised in it, wherever it stood.
    interrupted: AtomicBool,
    /// The handler waits in our code, without the GIL.
    waits: AtomicBool,
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
    pub(crate) fn new(head: Head, calls: Arc<Calls>) -> Self {
        CallState {
            head,
            calls,
            cancelled: OnceLock::new(),
            told: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            run: Mutex::new(Run::Waiting),
        }
    }

    pub(crate) fn worker_id(&self) -> &str {
        self.calls.worker_id()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.get().is_some()
    }

    /// The time since its cancellation, if there was one.
    pub(crate) fn cancelled_for(&self) -> Option<Duration> {
        self.cancelled.get().map(Instant::elapsed)
    }

    pub(crate) fn runs(&self) -> bool {
        matches!(*self.lock(), Run::Thread { .. } | Run::Loop { .. })
    }

    /// Whether its handler may be what holds the GIL.
    pub(crate) fn may_hold(&self) -> bool {
        self.runs() && !self.waits.load(Ordering::Relaxed)
    }

    /// Waits without the GIL, on behalf of the handler.
    pub(crate) fn wait<T: Send>(&self, py: Python<'_>, wait: impl FnOnce() -> T + Send) -> T {
        // Any thread of the handler may come here, and its own may be busy meanwhile.
        let waits = self.runs_on(inject::current_thread(py));
        if waits {
            self.waits.store(true, Ordering::Relaxed);
        }
        let waited = py.detach(wait);
        if waits {
            self.waits.store(false, Ordering::Relaxed);
        }
        waited
    }

    pub(crate) fn runs_on(&self, thread: u64) -> bool {
        matches!(*self.lock(), Run::Thread { ident, .. } if ident == thread)
    }

    /// The handler hears of its cancellation, in a way of its own: nothing else is to tell it. With
    /// the GIL held, as whoever interrupts a handler holds it.
    pub(crate) fn tell(&self, py: Python<'_>) {
        let interrupted = self.told.swap(true, Ordering::Relaxed);
        self.interrupted.store(false, Ordering::Relaxed);
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
            cancel::stop(&self.calls, self, false);
        }
    }

    /// The handler has ended. With the GIL held, as whoever injects an exception holds it: none
    /// can reach this thread for this call any more.
    pub(crate) fn leave(&self, py: Python<'_>) {
        let before = self.over();
        if let Run::Thread { ident, stuck: true } = before {
            inject::clear(py, ident);
        }
        if let (Run::Thread { .. } | Run::Loop { .. }, Some(time)) = (before, self.cancelled_for())
        {
            self.head.report_cancelled(time, self.heard());
        }
        self.head.end_reports(py);
    }

    /// How its handler has heard that it is cancelled.
    fn heard(&self) -> Heard {
        if !self.told.load(Ordering::Relaxed) {
            Heard::Never
        } else if self.interrupted.load(Ordering::Relaxed) {
            Heard::Raised
        } else {
            Heard::Looked
        }
    }

    /// Nobody works for the call any more: its handler has ended, or will never begin.
    pub(crate) fn end(&self) {
        self.over();
    }

    fn over(&self) -> Run {
        let before = std::mem::replace(&mut *self.lock(), Run::Over);
        if let Run::Thread { stuck: true, .. } = before {
            self.calls.remove_stuck();
        }
        before
    }

    /// Stops the call; its peer waits for nothing any more. Does not block.
    pub(crate) fn cancel(self: &Arc<Self>) {
        if self.cancelled.set(Instant::now()).is_err() {
            return;
        }
        let on_thread = match &mut *self.lock() {
            Run::Waiting | Run::Over => return,
            Run::Loop { .. } => false,
            Run::Thread { stuck, .. } => {
                *stuck = true;
                self.calls.add_stuck();
                true
            }
        };
        self.calls.give_thread_up();
        cancel::stop(&self.calls, self, on_thread);
    }

    /// Tells the handler that it is cancelled, if it still runs and does not know.
    pub(crate) fn interrupt(&self, py: Python<'_>) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        self.interrupted.store(true, Ordering::Relaxed);
        self.raise(py);
    }

    /// Interrupts the handler once more. It may never have met the exception: Python drops what is
    /// raised while it frees an object, a socket for example.
    pub(crate) fn insist(&self, py: Python<'_>) {
        if self.interrupted.load(Ordering::Relaxed) {
            self.raise(py);
        }
    }

    fn raise(&self, py: Python<'_>) {
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
    }

    fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
