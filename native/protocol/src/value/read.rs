use rmp::Marker;

use super::{BIG_INTEGER, MAX_DEPTH, ValueError};

/// Makes values of one side's own kind out of what [`read`] finds.
///
/// Containers are told after their contents: [`read`] keeps finished values on a stack, and hands
/// an array or a map its part of it.
pub trait Build {
    /// An Erlang term, a Python object.
    type Value;

    /// nil.
    fn nil(&mut self) -> Result<Self::Value, ValueError>;
    /// A boolean.
    fn boolean(&mut self, value: bool) -> Result<Self::Value, ValueError>;
    /// An integer of 64 signed bits.
    fn integer(&mut self, value: i64) -> Result<Self::Value, ValueError>;
    /// An integer above the signed, within the unsigned 64 bits.
    fn unsigned(&mut self, value: u64) -> Result<Self::Value, ValueError>;
    /// An integer beyond 64 bits, as big-endian two's complement.
    fn big_integer(&mut self, twos_complement: &[u8]) -> Result<Self::Value, ValueError>;
    /// A float; NaN and the infinities too.
    fn float(&mut self, value: f64) -> Result<Self::Value, ValueError>;
    /// Text, not yet checked to be UTF-8.
    fn string(&mut self, utf8: &[u8]) -> Result<Self::Value, ValueError>;
    /// Bytes: a part of the slice given to [`read`].
    fn binary(&mut self, data: &[u8]) -> Result<Self::Value, ValueError>;
    /// All elements from index `from` of the stack, in order; they are to be removed from it.
    fn array(
        &mut self,
        stack: &mut Vec<Self::Value>,
        from: usize,
    ) -> Result<Self::Value, ValueError>;
    /// All keys and values (in turns) from index `from` of the stack; to be removed from it.
    fn map(&mut self, stack: &mut Vec<Self::Value>, from: usize)
    -> Result<Self::Value, ValueError>;
}

/// Reads exactly one object that fills `input`.
///
/// `stack` is scratch space; kept by the caller, it is allocated once.
pub fn read<B: Build>(
    build: &mut B,
    stack: &mut Vec<B::Value>,
    input: &[u8],
) -> Result<B::Value, ValueError> {
    let floor = stack.len();
    let mut cursor = Cursor { rest: input };
    let value = cursor.value(build, stack, 0).inspect_err(|_| stack.truncate(floor));
    match (value, cursor.rest.len()) {
        (Ok(_), extra @ 1..) => {
            Err(ValueError::new(format!("{extra} bytes stand behind the value")))
        }
        (value, _) => value,
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn value<B: Build>(
        &mut self,
        build: &mut B,
        stack: &mut Vec<B::Value>,
        depth: usize,
    ) -> Result<B::Value, ValueError> {
        match Marker::from_u8(self.u8()?) {
            Marker::Null => build.nil(),
            Marker::True => build.boolean(true),
            Marker::False => build.boolean(false),
            Marker::FixPos(value) => build.integer(value.into()),
            Marker::FixNeg(value) => build.integer(value.into()),
            Marker::U8 => build.integer(self.u8()?.into()),
            Marker::U16 => build.integer(u16::from_be_bytes(self.fixed()?).into()),
            Marker::U32 => build.integer(u32::from_be_bytes(self.fixed()?).into()),
            Marker::U64 => {
                let value = u64::from_be_bytes(self.fixed()?);
                match i64::try_from(value) {
                    Ok(value) => build.integer(value),
                    Err(_) => build.unsigned(value),
                }
            }
            Marker::I8 => build.integer(i8::from_be_bytes(self.fixed()?).into()),
            Marker::I16 => build.integer(i16::from_be_bytes(self.fixed()?).into()),
            Marker::I32 => build.integer(i32::from_be_bytes(self.fixed()?).into()),
            Marker::I64 => build.integer(i64::from_be_bytes(self.fixed()?)),
            Marker::F32 => build.float(f32::from_be_bytes(self.fixed()?).into()),
            Marker::F64 => build.float(f64::from_be_bytes(self.fixed()?)),
            Marker::FixStr(length) => build.string(self.take(length.into())?),
            Marker::Str8 => {
                let n = self.len8()?;
                build.string(self.take(n)?)
            }
            Marker::Str16 => {
                let n = self.len16()?;
                build.string(self.take(n)?)
            }
            Marker::Str32 => {
                let n = self.len32()?;
                build.string(self.take(n)?)
            }
            Marker::Bin8 => {
                let n = self.len8()?;
                build.binary(self.take(n)?)
            }
            Marker::Bin16 => {
                let n = self.len16()?;
                build.binary(self.take(n)?)
            }
            Marker::Bin32 => {
                let n = self.len32()?;
                build.binary(self.take(n)?)
            }
            Marker::FixArray(length) => self.array(build, stack, length.into(), depth),
            Marker::Array16 => {
                let n = self.len16()?;
                self.array(build, stack, n, depth)
            }
            Marker::Array32 => {
                let n = self.len32()?;
                self.array(build, stack, n, depth)
            }
            Marker::FixMap(length) => self.map(build, stack, length.into(), depth),
            Marker::Map16 => {
                let n = self.len16()?;
                self.map(build, stack, n, depth)
            }
            Marker::Map32 => {
                let n = self.len32()?;
                self.map(build, stack, n, depth)
            }
            Marker::FixExt1 => self.extension(build, 1),
            Marker::FixExt2 => self.extension(build, 2),
            Marker::FixExt4 => self.extension(build, 4),
            Marker::FixExt8 => self.extension(build, 8),
            Marker::FixExt16 => self.extension(build, 16),
            Marker::Ext8 => {
                let n = self.len8()?;
                self.extension(build, n)
            }
            Marker::Ext16 => {
                let n = self.len16()?;
                self.extension(build, n)
            }
            Marker::Ext32 => {
                let n = self.len32()?;
                self.extension(build, n)
            }
            Marker::Reserved => Err(ValueError::new("not MessagePack: the reserved marker 0xc1")),
        }
    }

    fn array<B: Build>(
        &mut self,
        build: &mut B,
        stack: &mut Vec<B::Value>,
        length: usize,
        depth: usize,
    ) -> Result<B::Value, ValueError> {
        let from = self.open(stack, length, depth)?;
        for index in 0..length {
            let value = self.value(build, stack, depth + 1).map_err(|error| error.at_index(index));
            stack.push(value?);
        }
        build.array(stack, from)
    }

    fn map<B: Build>(
        &mut self,
        build: &mut B,
        stack: &mut Vec<B::Value>,
        length: usize,
        depth: usize,
    ) -> Result<B::Value, ValueError> {
        let from = self.open(stack, length, depth)?;
        for index in 0..length {
            for _ in ["key", "value"] {
                let value =
                    self.value(build, stack, depth + 1).map_err(|error| error.at_index(index));
                stack.push(value?);
            }
        }
        build.map(stack, from)
    }

    fn open<V>(&self, stack: &[V], length: usize, depth: usize) -> Result<usize, ValueError> {
        if depth >= MAX_DEPTH {
            return Err(ValueError::too_deep());
        }
        // Every element takes a byte at least: a length beyond that is a lie, and not worth memory.
        if length > self.rest.len() {
            return Err(truncated());
        }
        Ok(stack.len())
    }

    fn extension<B: Build>(
        &mut self,
        build: &mut B,
        length: usize,
    ) -> Result<B::Value, ValueError> {
        let kind = i8::from_be_bytes(self.fixed()?);
        let data = self.take(length)?;
        if kind == BIG_INTEGER {
            build.big_integer(data)
        } else {
            Err(ValueError::new(format!("MessagePack extension type {kind} is unknown here")))
        }
    }

    fn len8(&mut self) -> Result<usize, ValueError> {
        Ok(self.u8()?.into())
    }

    fn len16(&mut self) -> Result<usize, ValueError> {
        Ok(u16::from_be_bytes(self.fixed()?).into())
    }

    fn len32(&mut self) -> Result<usize, ValueError> {
        Ok(u32::from_be_bytes(self.fixed()?) as usize)
    }

    fn u8(&mut self) -> Result<u8, ValueError> {
        self.fixed().map(|[byte]| byte)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ValueError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(head)
    }
}

fn truncated() -> ValueError {
    ValueError::new("not MessagePack: the data ends in the middle of a value")
}
