use bytes::{BufMut, Bytes, BytesMut};
use rmp::Marker;

use super::BIG_INTEGER;
use crate::Entry;

/// Bytes that can be had for keeps.
pub struct Given<'a> {
    bytes: &'a [u8],
    keep: &'a dyn Fn() -> Bytes,
}

impl<'a> Given<'a> {
    /// `keep` gives the same bytes, with whatever keeps them alive.
    pub fn new(bytes: &'a [u8], keep: &'a dyn Fn() -> Bytes) -> Self {
        Given { bytes, keep }
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl std::fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// From this size on a part that is given away is kept as it is. Below, a copy costs less.
const KEEP_FROM: usize = 16 * 1024;

/// The most bytes that stand before a text or a binary.
const HEADER: usize = 5;

/// Appends MessagePack objects to a buffer, each in its shortest form.
#[derive(Debug, Default)]
pub struct Writer {
    /// What comes before the buffer: parts that were given away, and what stands before each.
    pieces: Vec<Bytes>,
    buffer: BytesMut,
    /// The least that is allocated at once.
    block: usize,
}

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Writer::default()
    }

    /// An empty buffer for many values, which share its memory in blocks of so many bytes.
    pub fn in_blocks(block: usize) -> Self {
        Writer { block, ..Writer::default() }
    }

    /// Takes what has been written since the last call, in one piece.
    pub fn take(&mut self) -> Bytes {
        let end = self.buffer.split().freeze();
        if self.pieces.is_empty() {
            return end;
        }
        let mut whole = BytesMut::with_capacity(self.kept() + end.len());
        for piece in self.pieces.drain(..) {
            whole.put(piece);
        }
        whole.put(end);
        whole.freeze()
    }

    /// Takes what has been written since the last call, as the value of an entry. The buffer's memory
    /// is shared with it, so that many small values cost one allocation.
    pub fn take_entry(&mut self, key: Bytes) -> Entry {
        let end = self.buffer.split().freeze();
        if self.pieces.is_empty() {
            return Entry { key, value: end, rest: Vec::new() };
        }
        let mut rest = std::mem::take(&mut self.pieces);
        let value = rest.remove(0);
        if !end.is_empty() {
            rest.push(end);
        }
        Entry { key, value, rest }
    }

    /// Forgets what has been written since it was last taken.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.buffer.clear();
    }

    /// Bytes written since they were last taken.
    pub fn len(&self) -> usize {
        self.kept() + self.buffer.len()
    }

    /// Whether nothing has been written since it was last taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn kept(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Makes room for `additional` bytes at once.
    pub fn reserve(&mut self, additional: usize) {
        self.buffer.reserve(additional);
    }

    /// nil, None.
    pub fn nil(&mut self) {
        self.marker(Marker::Null);
    }

    /// A boolean.
    pub fn boolean(&mut self, value: bool) {
        self.marker(if value { Marker::True } else { Marker::False });
    }

    /// A signed integer.
    pub fn integer(&mut self, value: i64) {
        if let Ok(unsigned) = u64::try_from(value) {
            return self.unsigned(unsigned);
        }
        if value >= -32 {
            self.marker(Marker::FixNeg(value as i8));
        } else if let Ok(value) = i8::try_from(value) {
            self.marker(Marker::I8);
            self.buffer.put_i8(value);
        } else if let Ok(value) = i16::try_from(value) {
            self.marker(Marker::I16);
            self.buffer.put_i16(value);
        } else if let Ok(value) = i32::try_from(value) {
            self.marker(Marker::I32);
            self.buffer.put_i32(value);
        } else {
            self.marker(Marker::I64);
            self.buffer.put_i64(value);
        }
    }

    /// An unsigned integer.
    pub fn unsigned(&mut self, value: u64) {
        if value < 128 {
            self.marker(Marker::FixPos(value as u8));
        } else if let Ok(value) = u8::try_from(value) {
            self.marker(Marker::U8);
            self.buffer.put_u8(value);
        } else if let Ok(value) = u16::try_from(value) {
            self.marker(Marker::U16);
            self.buffer.put_u16(value);
        } else if let Ok(value) = u32::try_from(value) {
            self.marker(Marker::U32);
            self.buffer.put_u32(value);
        } else {
            self.marker(Marker::U64);
            self.buffer.put_u64(value);
        }
    }

    /// An integer beyond 64 bits, as big-endian two's complement.
    pub fn big_integer(&mut self, twos_complement: &[u8]) {
        let length = twos_complement.len();
        if let Ok(length) = u8::try_from(length) {
            self.marker(Marker::Ext8);
            self.buffer.put_u8(length);
        } else if let Ok(length) = u16::try_from(length) {
            self.marker(Marker::Ext16);
            self.buffer.put_u16(length);
        } else {
            self.marker(Marker::Ext32);
            self.buffer.put_u32(length as u32);
        }
        self.buffer.put_i8(BIG_INTEGER);
        self.buffer.put_slice(twos_complement);
    }

    /// A float; NaN and the infinities too.
    pub fn float(&mut self, value: f64) {
        self.marker(Marker::F64);
        self.buffer.put_f64(value);
    }

    /// Text.
    pub fn string(&mut self, utf8: &[u8]) {
        self.string_header(utf8.len());
        self.buffer.put_slice(utf8);
    }

    /// Text that is given away: when it is large, nothing of it is copied.
    pub fn string_given(&mut self, utf8: Given<'_>) {
        self.make_room(&utf8);
        self.string_header(utf8.len());
        self.given(utf8);
    }

    fn string_header(&mut self, length: usize) {
        if length < 32 {
            self.marker(Marker::FixStr(length as u8));
        } else if let Ok(length) = u8::try_from(length) {
            self.marker(Marker::Str8);
            self.buffer.put_u8(length);
        } else if let Ok(length) = u16::try_from(length) {
            self.marker(Marker::Str16);
            self.buffer.put_u16(length);
        } else {
            self.marker(Marker::Str32);
            self.buffer.put_u32(length as u32);
        }
    }

    /// Bytes.
    pub fn binary(&mut self, data: &[u8]) {
        let length = data.len();
        self.buffer.reserve(length + HEADER);
        self.binary_header(length);
        self.buffer.put_slice(data);
    }

    /// Bytes that are given away: when they are many, none is copied.
    pub fn binary_given(&mut self, data: Given<'_>) {
        self.make_room(&data);
        self.binary_header(data.len());
        self.given(data);
    }

    // At once, with the header: else there would be two allocations where one will do.
    fn make_room(&mut self, data: &Given<'_>) {
        let copied = if data.len() < KEEP_FROM { data.len() } else { 0 };
        if self.buffer.capacity() - self.buffer.len() < copied + HEADER {
            self.buffer.reserve(self.block.max(copied + HEADER));
        }
    }

    fn given(&mut self, data: Given<'_>) {
        if data.len() < KEEP_FROM {
            self.buffer.put_slice(data.bytes);
            return;
        }
        self.pieces.push(self.buffer.split().freeze());
        self.pieces.push((data.keep)());
    }

    /// What stands before `length` bytes of a binary.
    fn binary_header(&mut self, length: usize) {
        if let Ok(length) = u8::try_from(length) {
            self.marker(Marker::Bin8);
            self.buffer.put_u8(length);
        } else if let Ok(length) = u16::try_from(length) {
            self.marker(Marker::Bin16);
            self.buffer.put_u16(length);
        } else {
            self.marker(Marker::Bin32);
            self.buffer.put_u32(length as u32);
        }
    }

    /// The head of an array; its `length` elements follow.
    pub fn array(&mut self, length: usize) {
        if length < 16 {
            self.marker(Marker::FixArray(length as u8));
        } else if let Ok(length) = u16::try_from(length) {
            self.marker(Marker::Array16);
            self.buffer.put_u16(length);
        } else {
            self.marker(Marker::Array32);
            self.buffer.put_u32(length as u32);
        }
    }

    /// The head of a map; `length` keys, each with its value, follow.
    pub fn map(&mut self, length: usize) {
        if length < 16 {
            self.marker(Marker::FixMap(length as u8));
        } else if let Ok(length) = u16::try_from(length) {
            self.marker(Marker::Map16);
            self.buffer.put_u16(length);
        } else {
            self.marker(Marker::Map32);
            self.buffer.put_u32(length as u32);
        }
    }

    fn marker(&mut self, marker: Marker) {
        self.buffer.put_u8(marker.to_u8());
    }
}
