use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use foldhash::HashMap;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tracing::trace;

use crate::call::{CallState, Head};
use crate::errands::Errands;

/// All calls of the worker.
pub(crate) struct Calls {
    pub(crate) runtime: Handle,
    pub(crate) errands: Arc<Errands>,
    pub(crate) cancel_grace: Duration,
    worker_id: String,
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, Arc<CallState>>>,
    stuck: AtomicUsize,
    on_thread_given_up: OnceLock<Box<dyn Fn() + Send + Sync>>,
    idle: Notify,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").field("open", &self.active()).finish_non_exhaustive()
    }
}

/// A call between its receipt and its last message. Whoever works for the call shares in this;
/// what its handler keeps of it for later is only the [`CallState`].
#[derive(Debug)]
pub(crate) struct OpenCall {
    id: u64,
    state: Arc<CallState>,
    calls: Arc<Calls>,
}

impl OpenCall {
    /// What outlives the call.
    pub(crate) fn state(&self) -> Arc<CallState> {
        Arc::clone(&self.state)
    }
}

impl Deref for OpenCall {
    type Target = Arc<CallState>;

    fn deref(&self) -> &Arc<CallState> {
        &self.state
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.state.end();
        let mut open = self.calls.lock();
        open.remove(&self.id);
        if open.is_empty() {
            self.calls.idle.notify_waiters();
        }
    }
}

impl Calls {
    pub(crate) fn new(
        runtime: Handle,
        errands: Arc<Errands>,
        worker_id: String,
        cancel_grace: Duration,
    ) -> Arc<Self> {
        let calls = Arc::new(Calls {
            runtime,
            errands,
            cancel_grace,
            worker_id,
            next_id: AtomicU64::new(0),
            open: Mutex::default(),
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

    /// A cancelled call does not count against the threads from now on, although it holds one.
    pub(crate) fn give_thread_up(&self) {
        if let Some(callback) = self.on_thread_given_up.get() {
            callback();
        }
    }

    /// Counts the cancelled calls that hold a thread.
    pub(crate) fn add_stuck(&self) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_stuck(&self) {
        self.stuck.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Registers a call that has come in.
    pub(crate) fn open(self: &Arc<Self>, head: Head) -> Arc<OpenCall> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (command, request_id) = (head.command.as_str(), head.request_id.as_str());
        trace!(command, request_id, "a call has come in");
        let state = Arc::new(CallState::new(head, Arc::clone(self)));
        self.lock().insert(id, Arc::clone(&state));
        Arc::new(OpenCall { id, state, calls: Arc::clone(self) })
    }

    /// The call whose handler runs on the thread with this ident.
    pub(crate) fn on_thread(&self, thread: u64) -> Option<Arc<CallState>> {
        self.lock().values().find(|call| call.runs_on(thread)).cloned()
    }

    /// Whether every handler that may hold the GIL was cancelled at least `grace` ago.
    pub(crate) fn all_cancelled_for(&self, grace: Duration) -> bool {
        let was_cancelled = |call: &Arc<CallState>| call.cancelled_for() >= Some(grace);
        self.lock().values().all(|call| !call.may_hold() || was_cancelled(call))
    }

    pub(crate) fn worker_id(&self) -> &str {
        &self.worker_id
    }

    pub(crate) fn active(&self) -> usize {
        self.lock().len()
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
        // Cancelled outside the lock.
        let open: Vec<_> = self.lock().values().cloned().collect();
        open.iter().for_each(CallState::cancel);
    }

    // The state of a call is locked within this lock, never the other way round.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<CallState>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calls of this process, for what is not passed its call: the log.
static CALLS: OnceLock<Weak<Calls>> = OnceLock::new();

pub(crate) fn current() -> Option<Arc<Calls>> {
    CALLS.get()?.upgrade()
}
