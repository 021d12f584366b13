use bytes::{BufMut, Bytes, BytesMut};
use rmp::Marker;

use super::BIG_INTEGER;

/// Appends MessagePack objects to a buffer, each in its shortest form.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: BytesMut,
}

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Writer::default()
    }

    /// Takes what has been written since the last call. The buffer's memory is shared with it, so
    /// that many small values cost one allocation.
    pub fn take(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    /// Forgets what has been written since the last [`take`](Self::take).
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// Bytes written since the last [`take`](Self::take).
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing has been written since the last [`take`](Self::take).
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
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
        let length = utf8.len();
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
        self.buffer.put_slice(utf8);
    }

    /// Bytes.
    pub fn binary(&mut self, data: &[u8]) {
        let length = data.len();
        self.buffer.reserve(length + 5);
        self.binary_header(length);
        self.buffer.put_slice(data);
    }

    /// What stands before `length` bytes of a binary.
    pub fn binary_header(&mut self, length: usize) {
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
