use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How far a stream may run ahead of its consumer, in chunks and in bytes.
///
/// A chunk may be read while fewer than `window` chunks and fewer than `max_buffer` bytes are
/// unacknowledged; so the bytes exceed `max_buffer` by less than one chunk, and a chunk larger
/// than all of `max_buffer` still passes, alone.
#[derive(Debug)]
pub struct Credit {
    window: usize,
    max_buffer: usize,
    unacknowledged: Mutex<Unacknowledged>,
    granted: Notify,
}

#[derive(Debug, Default)]
struct Unacknowledged {
    sizes: VecDeque<usize>,
    bytes: usize,
}

impl Credit {
    /// Credit for `window` chunks and `max_buffer` bytes; both at least 1.
    pub fn new(window: usize, max_buffer: usize) -> Self {
        Credit {
            window: window.max(1),
            max_buffer: max_buffer.max(1),
            unacknowledged: Mutex::default(),
            granted: Notify::new(),
        }
    }

    /// Whether one more chunk may be read now.
    pub fn available(&self) -> bool {
        let held = self.lock();
        held.sizes.len() < self.window && held.bytes < self.max_buffer
    }

    /// Waits until one more chunk may be read. One task waits at a time.
    pub async fn wait(&self) {
        // `Notify` keeps one permit, so a grant between the check and the wait is not lost.
        while !self.available() {
            self.granted.notified().await;
        }
    }

    /// Spends credit for a chunk of `bytes`.
    pub fn spend(&self, bytes: usize) {
        let mut held = self.lock();
        held.sizes.push_back(bytes);
        held.bytes += bytes;
    }

    /// Gives back the credit of the `chunks` oldest; more than are out is taken as all.
    pub fn acknowledge(&self, chunks: usize) {
        let mut held = self.lock();
        let chunks = chunks.min(held.sizes.len());
        let bytes: usize = held.sizes.drain(..chunks).sum();
        held.bytes -= bytes;
        drop(held);
        self.granted.notify_one();
    }

    /// Chunks and bytes read but not acknowledged.
    pub fn held(&self) -> (usize, usize) {
        let held = self.lock();
        (held.sizes.len(), held.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Unacknowledged> {
        self.unacknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
