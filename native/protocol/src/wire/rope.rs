//! The only file of this crate with unsafe code: `BufMut` asks for it.
#![allow(unsafe_code)]

use std::collections::VecDeque;

use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::{BURST, PIECE_FROM, PREFIX};

/// Encoded messages on their way out, in pieces: small values gathered, large ones as they are.
#[derive(Debug, Default)]
pub struct Rope {
    pieces: VecDeque<Bytes>,
    /// Behind the pieces.
    tail: BytesMut,
    len: usize,
}

impl Rope {
    /// An empty rope.
    pub fn new() -> Self {
        Rope::default()
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a message as gRPC frames it. False, and nothing is added, when it is longer than a
    /// frame of gRPC can be.
    #[must_use]
    pub fn frame(&mut self, message: &impl Message) -> bool {
        let length = message.encoded_len();
        let Ok(prefix) = u32::try_from(length) else {
            return false;
        };
        self.make_room(PREFIX + length.min(PIECE_FROM));
        self.put_u8(0);
        self.put_u32(prefix);
        message.encode_raw(self);
        true
    }

    // One message takes what it needs. Where more follow there is room for many: grown bit by bit, all
    // would be copied again and again.
    fn make_room(&mut self, needed: usize) {
        if self.tail.capacity() - self.tail.len() < needed {
            let many = if self.tail.is_empty() { 0 } else { BURST };
            self.tail.reserve(needed.max(many));
        }
    }

    /// Adds a message alone.
    pub fn message(&mut self, message: &impl Message) {
        message.encode_raw(self);
    }

    /// The next piece, of at most `most` bytes.
    pub fn pop(&mut self, most: usize) -> Option<Bytes> {
        let piece = match self.pieces.front_mut() {
            Some(piece) if piece.len() > most => piece.split_to(most),
            Some(_) => self.pieces.pop_front()?,
            None if self.tail.is_empty() => return None,
            None => self.tail.split_to(self.tail.len().min(most)).freeze(),
        };
        self.len -= piece.len();
        Some(piece)
    }
}

// SAFETY: all writing goes to the tail, by the rules of its own `BufMut`; what is cut off from it, or
// put between, is never written again.
unsafe impl BufMut for Rope {
    fn remaining_mut(&self) -> usize {
        usize::MAX - self.len
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        // SAFETY: the caller has written `count` bytes to the chunk, which is the tail's.
        unsafe { self.tail.advance_mut(count) };
        self.len += count;
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        self.tail.chunk_mut()
    }

    // prost puts a `Bytes` as such, and `copy_to_bytes` of one is a part of it and no copy.
    fn put<T: Buf>(&mut self, mut source: T) {
        let length = source.remaining();
        if length < PIECE_FROM {
            self.tail.put(source);
        } else {
            if !self.tail.is_empty() {
                self.pieces.push_back(self.tail.split().freeze());
            }
            self.pieces.push_back(source.copy_to_bytes(length));
        }
        self.len += length;
    }

    fn put_slice(&mut self, source: &[u8]) {
        self.tail.put_slice(source);
        self.len += source.len();
    }
}
