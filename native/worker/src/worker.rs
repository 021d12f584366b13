use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use crate::calls::Calls;
use crate::dispatcher::Dispatcher;
use crate::handlers::{Handlers, Job};
use crate::leadership::Leadership;
use crate::response::Failure;

/// What every part of the worker shares.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) calls: Arc<Calls>,
    /// Threads for sync handlers, and the main thread for those that need it.
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) main_thread: Arc<Handlers>,
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) max_message_size: usize,
    pub(crate) started: Instant,
    pub(crate) python_version: String,
    pub(crate) draining: AtomicBool,
    /// All calls are answered, and none is taken any more: the lanes end.
    pub(crate) finished: watch::Sender<bool>,
    /// The parent has gone: there is nobody to serve.
    pub(crate) stopped: Notify,
}

impl Worker {
    /// Ends the threads; the main thread returns to whoever serves.
    pub(crate) fn stop(&self) {
        self.handlers.stop();
        self.main_thread.stop();
    }

    /// Queues a job.
    pub(crate) fn submit(&self, on_main_thread: bool, job: Box<dyn Job>) {
        if self.draining.load(Ordering::Acquire) {
            return job.refuse(Failure::Refused("draining", "the worker is stopping"));
        }
        let queue = if on_main_thread { &self.main_thread } else { &self.handlers };
        if let Err(job) = queue.submit(job) {
            let text = "too many calls wait for a thread of this worker";
            job.refuse(Failure::Refused("busy", text));
        }
    }
}
