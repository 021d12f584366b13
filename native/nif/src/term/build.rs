use bytes::Bytes;
use rustler::{BigInt, Binary, Encoder, Env, NewBinary, Term};
use snakepit_protocol::pb::{Codec, Entry, StreamResponse};
use snakepit_protocol::value::{Build, ValueError, read};

use super::ndarray;
use super::share::{self, SHARE_FROM};
use crate::atoms;

const IS_FINAL: &[u8] = b"is_final";

/// More names than the chunks of a stream have; beyond that they are made anew.
const MAX_NAMES: usize = 16;

/// Makes the maps that callers get, in one environment.
pub(crate) struct Maps<'a> {
    env: Env<'a>,
    /// The names made so far: the chunks of a stream mostly have the same.
    names: Vec<(Bytes, Term<'a>)>,
    // Scratch space.
    keys: Vec<Term<'a>>,
    values: Vec<Term<'a>>,
    inner_keys: Vec<Term<'a>>,
    inner_values: Vec<Term<'a>>,
    stack: Vec<Term<'a>>,
}

impl<'a> Maps<'a> {
    pub(crate) fn new(env: Env<'a>) -> Self {
        Maps {
            env,
            names: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
            inner_keys: Vec::new(),
            inner_values: Vec::new(),
            stack: Vec::new(),
        }
    }

    /// The map of a response: what the handler returned.
    pub(crate) fn result(
        &mut self,
        result: &[Entry],
        codec: Codec,
    ) -> Result<Term<'a>, ValueError> {
        self.map(result, codec, None)
    }

    /// The map of a chunk, with `"is_final"`; an error's text stands under `"error"`.
    pub(crate) fn chunk(&mut self, chunk: &StreamResponse) -> Result<Term<'a>, ValueError> {
        if chunk.error.is_empty() && chunk.detail.is_none() {
            return self.map(&chunk.chunk, chunk.codec(), Some(chunk.is_final));
        }
        let message = match &chunk.detail {
            Some(detail) if !detail.message.is_empty() => &detail.message,
            _ => &chunk.error,
        };
        let env = self.env;
        let keys = [text(env, b"error"), text(env, IS_FINAL)];
        let values = [text(env, message.as_bytes()), true.encode(env)];
        Term::map_from_term_arrays(env, &keys, &values).map_err(|_| twice())
    }

    fn map(
        &mut self,
        entries: &[Entry],
        codec: Codec,
        is_final: Option<bool>,
    ) -> Result<Term<'a>, ValueError> {
        self.keys.clear();
        self.values.clear();
        for entry in entries {
            if is_final.is_some() && entry.key == IS_FINAL {
                continue;
            }
            let value = self.value(entry, codec)?;
            // A result is the only map of its environment.
            let key = match is_final {
                Some(_) => self.name(&entry.key),
                None => text(self.env, &entry.key),
            };
            self.keys.push(key);
            self.values.push(value);
        }
        if let Some(is_final) = is_final {
            let key = self.name(&Bytes::from_static(IS_FINAL));
            self.keys.push(key);
            self.values.push(is_final.encode(self.env));
        }
        Term::map_from_term_arrays(self.env, &self.keys, &self.values).map_err(|_| twice())
    }

    fn name(&mut self, name: &Bytes) -> Term<'a> {
        if let Some((_, term)) = self.names.iter().find(|(known, _)| known == name) {
            return *term;
        }
        let term = text(self.env, name);
        if self.names.len() < MAX_NAMES {
            self.names.push((name.clone(), term));
        }
        term
    }

    fn value(&mut self, entry: &Entry, codec: Codec) -> Result<Term<'a>, ValueError> {
        let (env, message) = (self.env, Message::Wire(&entry.value));
        if codec == Codec::Json {
            return Ok(bytes(env, &message, &entry.value));
        }
        let (keys, values) = (&mut self.inner_keys, &mut self.inner_values);
        let mut build = TermBuild { env, message, keys, values };
        let value = read(&mut build, &mut self.stack, &entry.value);
        value.map_err(|error| error.at_key(String::from_utf8_lossy(&entry.key)))
    }
}

/// One object that fills `input`. Large binaries in it are parts of `input`.
pub(crate) fn unpack<'a>(env: Env<'a>, input: Binary<'a>) -> Result<Term<'a>, ValueError> {
    let (keys, values) = (&mut Vec::new(), &mut Vec::new());
    let mut build = TermBuild { env, message: Message::Term(&input), keys, values };
    read(&mut build, &mut Vec::new(), &input)
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
    // Scratch space.
    keys: &'m mut Vec<Term<'a>>,
    values: &'m mut Vec<Term<'a>>,
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
        self.keys.clear();
        self.values.clear();
        for pair in pairs.chunks_exact(2) {
            self.keys.push(pair[0]);
            self.values.push(pair[1]);
        }
        stack.truncate(from);
        if let ([key], [value]) = (&self.keys[..], &self.values[..])
            && let Some(array) = ndarray::tuple(self.env, *key, *value)
        {
            return Ok(array);
        }
        Term::map_from_term_arrays(self.env, self.keys, self.values).map_err(|_| twice())
    }
}
