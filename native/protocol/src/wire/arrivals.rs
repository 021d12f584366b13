use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::PREFIX;

/// A message of which this much or more is still to come is gathered in one buffer as it comes:
/// held in its pieces it would take its memory twice in the end.
const GATHER_FROM: usize = 1024 * 1024;

/// What has arrived of a body, and is not read yet.
#[derive(Debug, Default)]
pub struct Arrivals {
    pieces: Pieces,
    /// The length of the message that comes next, once its prefix has arrived.
    next: Option<usize>,
    /// The beginning of that message, if it is gathered.
    gathered: Option<BytesMut>,
}

/// Why what arrives is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A longer message than is taken.
    #[error("message length too large: found {length} bytes, the limit is {limit} bytes")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// A compressed message, although nobody has offered to read one.
    #[error("a compressed message, or none of gRPC at all")]
    Compressed,
    /// A message that is not what the contract says.
    #[error("{0}")]
    Undecodable(#[from] prost::DecodeError),
}

impl Arrivals {
    /// Nothing yet.
    pub fn new() -> Self {
        Arrivals::default()
    }

    /// Whether all that has arrived was read.
    pub fn is_empty(&self) -> bool {
        self.pieces.len == 0 && self.next.is_none()
    }

    /// Adds the next piece of the body.
    pub fn push(&mut self, piece: Bytes) {
        match (&mut self.gathered, self.next) {
            (Some(gathered), Some(length)) if gathered.len() < length => {
                let mut piece = piece;
                let missing = length - gathered.len();
                gathered.put(piece.split_to(missing.min(piece.len())));
                self.pieces.push(piece);
            }
            _ => self.pieces.push(piece),
        }
    }

    /// The next message, if all of it is there and it has at most `limit` bytes.
    pub fn next<M: Message + Default>(&mut self, limit: usize) -> Result<Option<M>, Malformed> {
        let length = match self.next {
            Some(length) => length,
            None if self.pieces.len < PREFIX => return Ok(None),
            None => {
                if self.pieces.get_u8() != 0 {
                    return Err(Malformed::Compressed);
                }
                let length = self.pieces.get_u32() as usize;
                if length > limit {
                    return Err(Malformed::TooLong { length, limit });
                }
                *self.next.insert(length)
            }
        };
        if let Some(whole) = self.gathered.take_if(|gathered| gathered.len() == length) {
            self.next = None;
            return Ok(Some(M::decode(whole.freeze())?));
        }
        if self.gathered.is_some() {
            return Ok(None);
        }
        if self.pieces.len < length {
            if length - self.pieces.len >= GATHER_FROM {
                let mut gathered = BytesMut::with_capacity(length);
                gathered.put(&mut self.pieces);
                self.gathered = Some(gathered);
            }
            return Ok(None);
        }
        self.next = None;
        // Most messages are small and lie in one piece, which is read faster than several.
        let message = match self.pieces.within(length) {
            Some(message) => M::decode(message),
            None => M::decode((&mut self.pieces).take(length)),
        };
        Ok(Some(message?))
    }
}

/// Pieces of memory as one buffer.
#[derive(Debug, Default)]
struct Pieces {
    // None of them is empty.
    pieces: VecDeque<Bytes>,
    len: usize,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// The next `length` bytes, if they lie in one piece.
    fn within(&mut self, length: usize) -> Option<Bytes> {
        let first = self.pieces.front_mut()?;
        if first.len() < length {
            return None;
        }
        self.len -= length;
        if first.len() == length { self.pieces.pop_front() } else { Some(first.split_to(length)) }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.len, "advanced beyond the end");
        self.len -= count;
        let mut rest = count;
        while rest > 0
            && let Some(first) = self.pieces.front_mut()
        {
            let step = rest.min(first.len());
            rest -= step;
            first.advance(step);
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    // A value that lies in one piece is a part of it and no copy.
    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        assert!(length <= self.len, "read beyond the end");
        self.within(length).unwrap_or_else(|| {
            let mut whole = BytesMut::with_capacity(length);
            whole.put(self.take(length));
            whole.freeze()
        })
    }
}
