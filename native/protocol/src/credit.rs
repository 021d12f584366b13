use std::collections::VecDeque;

use crate::pb::Entry;

/// Two tags and two lengths stand around each key and value.
pub const ENTRY_OVERHEAD: usize = 8;

/// The bytes of a chunk as both sides count them for [`Credit`].
pub fn chunk_size(chunk: &[Entry]) -> usize {
    chunk.iter().map(|entry| entry.size() + ENTRY_OVERHEAD).sum()
}

/// How far one side of a stream may run ahead of the other, in chunks and in bytes.
///
/// A chunk may be sent while fewer than `window` chunks and fewer than `max_buffer` bytes are
/// unacknowledged; so the bytes exceed `max_buffer` by less than one chunk, and a chunk larger
/// than all of `max_buffer` still passes, alone. The sender keeps the account; the receiver says
/// how many chunks it has consumed.
#[derive(Debug)]
pub struct Credit {
    window: usize,
    max_buffer: usize,
    sizes: VecDeque<usize>,
    bytes: usize,
}

impl Credit {
    /// Credit for `window` chunks and `max_buffer` bytes; 0 means no limit.
    pub fn new(window: usize, max_buffer: usize) -> Self {
        let limit = |limit| if limit == 0 { usize::MAX } else { limit };
        Credit {
            window: limit(window),
            max_buffer: limit(max_buffer),
            sizes: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Whether one more chunk may be sent now.
    pub fn available(&self) -> bool {
        self.sizes.len() < self.window && self.bytes < self.max_buffer
    }

    /// Spends credit for a chunk of `bytes`. Without limits nothing is kept.
    pub fn spend(&mut self, bytes: usize) {
        if self.window != usize::MAX || self.max_buffer != usize::MAX {
            self.sizes.push_back(bytes);
            self.bytes += bytes;
        }
    }

    /// Gives back the credit of the `chunks` oldest; more than are out is taken as all.
    pub fn acknowledge(&mut self, chunks: usize) {
        let chunks = chunks.min(self.sizes.len());
        self.bytes -= self.sizes.drain(..chunks).sum::<usize>();
    }

    /// Chunks and bytes sent but not acknowledged.
    pub fn unacknowledged(&self) -> (usize, usize) {
        (self.sizes.len(), self.bytes)
    }
}
