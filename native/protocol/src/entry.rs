use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

/// One pair of every map of the contract, `args` for one: a name, and a value in the codec of its
/// message.
///
/// On the wire it is what Protobuf makes of a map's entry. It is written by hand, because a value
/// may leave in several pieces: one large part of it, that somebody else owns, is not copied then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Text, not yet checked to be UTF-8.
    pub key: Bytes,
    /// All of a value that was received; of one to be sent, what comes before `rest`.
    pub value: Bytes,
    /// More of a value to be sent.
    pub rest: Vec<Bytes>,
}

impl Entry {
    /// An entry in one piece.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Entry { key: key.into(), value: value.into(), rest: Vec::new() }
    }

    /// Bytes of name and value.
    pub fn size(&self) -> usize {
        self.key.len() + self.value_size()
    }

    fn value_size(&self) -> usize {
        self.value.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }
}

const KEY: u32 = 1;
const VALUE: u32 = 2;

impl Message for Entry {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        if !self.key.is_empty() {
            encoding::bytes::encode(KEY, &self.key, buffer);
        }
        let size = self.value_size();
        if size > 0 {
            encoding::encode_key(VALUE, WireType::LengthDelimited, buffer);
            encoding::encode_varint(size as u64, buffer);
            buffer.put(self.value.clone());
            for piece in &self.rest {
                buffer.put(piece.clone());
            }
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            KEY => encoding::bytes::merge(wire_type, &mut self.key, buffer, context),
            VALUE => {
                self.rest.clear();
                encoding::bytes::merge(wire_type, &mut self.value, buffer, context)
            }
            _ => encoding::skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let field = |tag, size: usize| match size {
            0 => 0,
            _ => encoding::key_len(tag) + encoding::encoded_len_varint(size as u64) + size,
        };
        field(KEY, self.key.len()) + field(VALUE, self.value_size())
    }

    fn clear(&mut self) {
        *self = Entry::default();
    }
}
