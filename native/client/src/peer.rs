use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{debug, info};

/// The worker at the other end, as the log knows it: by its name, and by whether it can be reached.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) worker_id: String,
    known: AtomicBool,
    lost: AtomicBool,
}

impl Peer {
    pub(crate) fn new(worker_id: String) -> Self {
        Peer { worker_id, known: AtomicBool::new(false), lost: AtomicBool::new(false) }
    }

    /// It has answered.
    pub(crate) fn answers(&self) {
        if !self.known.swap(true, Ordering::Relaxed) {
            debug!(worker_id = self.worker_id, "connected to the worker");
        } else if self.lost.swap(false, Ordering::Relaxed) {
            info!(worker_id = self.worker_id, "the worker can be reached again");
        }
    }

    /// Its connection has ended, under a call. Every call on it says so, and the log once.
    pub(crate) fn is_lost(&self, why: &str) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            info!(worker_id = self.worker_id, "the connection to the worker is lost: {why}");
        }
    }
}
