use bytes::Bytes;
use rustler::{BigInt, Binary, Encoder, Env, NewBinary, Term};
use snakepit_protocol::pb::{Codec, Entry, StreamResponse};
use snakepit_protocol::value::{Build, ValueError, read};

use super::ndarray;
use super::share::{self, SHARE_FROM};
use crate::atoms;

/// The map of a response: what the handler returned.
pub(crate) fn result_map<'a>(
    env: Env<'a>,
    result: &[Entry],
    codec: Codec,
) -> Result<Term<'a>, ValueError> {
    map_with(env, result, codec, None)
}

/// The map of a chunk, with `"is_final"`; an error's text stands under `"error"`.
pub(crate) fn chunk_map<'a>(env: Env<'a>, chunk: &StreamResponse) -> Result<Term<'a>, ValueError> {
    if chunk.error.is_empty() && chunk.detail.is_none() {
        return map_with(env, &chunk.chunk, codec_of(chunk), Some(chunk.is_final));
    }
    let message = match &chunk.detail {
        Some(detail) if !detail.message.is_empty() => &detail.message,
        _ => &chunk.error,
    };
    let keys = [text(env, b"error"), text(env, b"is_final")];
    let values = [text(env, message.as_bytes()), true.encode(env)];
    Term::map_from_term_arrays(env, &keys, &values).map_err(|_| twice())
}

/// One object that fills `input`. Large binaries in it are parts of `input`.
pub(crate) fn unpack<'a>(env: Env<'a>, input: Binary<'a>) -> Result<Term<'a>, ValueError> {
    let mut build = TermBuild { env, message: Message::Term(&input) };
    read(&mut build, &mut Vec::new(), &input)
}

fn codec_of(chunk: &StreamResponse) -> Codec {
    chunk.codec()
}

fn map_with<'a>(
    env: Env<'a>,
    entries: &[Entry],
    codec: Codec,
    is_final: Option<bool>,
) -> Result<Term<'a>, ValueError> {
    let mut keys = Vec::with_capacity(entries.len() + 1);
    let mut values = Vec::with_capacity(entries.len() + 1);
    let mut stack = Vec::new();
    for entry in entries {
        if is_final.is_some() && entry.key == b"is_final".as_slice() {
            continue;
        }
        keys.push(text(env, &entry.key));
        values.push(match codec {
            Codec::Msgpack => {
                let mut build = TermBuild { env, message: Message::Wire(&entry.value) };
                let value = read(&mut build, &mut stack, &entry.value);
                value.map_err(|error| error.at_key(String::from_utf8_lossy(&entry.key)))?
            }
            Codec::Json => bytes(env, &Message::Wire(&entry.value), &entry.value),
        });
    }
    if let Some(is_final) = is_final {
        keys.push(text(env, b"is_final"));
        values.push(is_final.encode(env));
    }
    Term::map_from_term_arrays(env, &keys, &values).map_err(|_| twice())
}

fn twice() -> ValueError {
    ValueError::new("two keys of a map are the same binary in Elixir")
}

/// A small binary, by copy.
pub(crate) fn text<'a>(env: Env<'a>, utf8: &[u8]) -> Term<'a> {
    NewBinary::from_slice(env, utf8).into()
}

/// A part of `message` as a binary: shared when large, copied when small.
fn bytes<'a>(env: Env<'a>, message: &Message<'a, '_>, part: &[u8]) -> Term<'a> {
    if part.len() < SHARE_FROM {
        return text(env, part);
    }
    match message {
        Message::Wire(whole) => share::binary(env, whole.slice_ref(part)).to_term(env),
        Message::Term(whole) => {
            let offset = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
            whole
                .make_subbinary(offset, part.len())
                .map_or_else(|_| text(env, part), |part| part.to_term(env))
        }
    }
}

/// What a value is read from, and what its large binaries are parts of.
enum Message<'a, 'm> {
    /// Received by the native client.
    Wire(&'m Bytes),
    /// Given by Elixir.
    Term(&'m Binary<'a>),
}

struct TermBuild<'a, 'm> {
    env: Env<'a>,
    message: Message<'a, 'm>,
}

impl<'a> Build for TermBuild<'a, '_> {
    type Value = Term<'a>;

    fn nil(&mut self) -> Result<Term<'a>, ValueError> {
        Ok(atoms::nil().to_term(self.env))
    }

    fn boolean(&mut self, value: bool) -> Result<Term<'a>, ValueError> {
        Ok(value.encode(self.env))
    }

    fn integer(&mut self, value: i64) -> Result<Term<'a>, ValueError> {
        Ok(value.encode(self.env))
    }

    fn unsigned(&mut self, value: u64) -> Result<Term<'a>, ValueError> {
        Ok(value.encode(self.env))
    }

    fn big_integer(&mut self, twos_complement: &[u8]) -> Result<Term<'a>, ValueError> {
        Ok(BigInt::from_signed_bytes_be(twos_complement).encode(self.env))
    }

    fn float(&mut self, value: f64) -> Result<Term<'a>, ValueError> {
        Ok(if value.is_finite() {
            value.encode(self.env)
        } else if value.is_nan() {
            atoms::nan().to_term(self.env)
        } else if value > 0.0 {
            atoms::infinity().to_term(self.env)
        } else {
            atoms::neg_infinity().to_term(self.env)
        })
    }

    fn string(&mut self, utf8: &[u8]) -> Result<Term<'a>, ValueError> {
        Ok(bytes(self.env, &self.message, utf8))
    }

    fn binary(&mut self, data: &[u8]) -> Result<Term<'a>, ValueError> {
        Ok(bytes(self.env, &self.message, data))
    }

    fn array(&mut self, stack: &mut Vec<Term<'a>>, from: usize) -> Result<Term<'a>, ValueError> {
        let list = stack.get(from..).unwrap_or_default().encode(self.env);
        stack.truncate(from);
        Ok(list)
    }

    fn map(&mut self, stack: &mut Vec<Term<'a>>, from: usize) -> Result<Term<'a>, ValueError> {
        let pairs = stack.get(from..).unwrap_or_default();
        let keys: Vec<_> = pairs.iter().copied().step_by(2).collect();
        let values: Vec<_> = pairs.iter().copied().skip(1).step_by(2).collect();
        stack.truncate(from);
        if let ([key], [value]) = (&keys[..], &values[..])
            && let Some(array) = ndarray::tuple(self.env, *key, *value)
        {
            return Ok(array);
        }
        Term::map_from_term_arrays(self.env, &keys, &values).map_err(|_| twice())
    }
}
