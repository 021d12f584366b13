use bytes::Bytes;
use rustler::types::atom::Atom;
use rustler::{BigInt, Binary, ListIterator, MapIterator, Term, TermType};
use snakepit_protocol::pb::Entry;
use snakepit_protocol::value::{MAX_DEPTH, ValueError, Writer};

use super::datetime;
use crate::atoms;

/// Why the arguments were not encoded.
pub(crate) enum Stop {
    /// They are more than one time slice of a scheduler should bear.
    Budget,
    /// Some part of them cannot travel.
    Value(ValueError),
}

impl From<ValueError> for Stop {
    fn from(error: ValueError) -> Self {
        Stop::Value(error)
    }
}

/// What encoding may cost before it is better done elsewhere: about so many terms, a term of `n`
/// bytes counting `n / BYTES_PER_UNIT` more. Some 20 to 50 ns each, so below 1 ms.
const SLICE: usize = 16_000;
const BYTES_PER_UNIT: usize = 128;

/// Encodes a map with text keys, one MessagePack object per value. `bounded` stops at the budget
/// of one time slice.
pub(crate) fn entries(map: Term<'_>, bounded: bool) -> Result<Vec<Entry>, Stop> {
    let mut encoder =
        Encoder { writer: Writer::new(), budget: if bounded { SLICE } else { usize::MAX } };
    let mut entries = Vec::with_capacity(map.map_size().unwrap_or(0));
    for (key, value) in pairs(map)? {
        let key = key_text(key)?;
        encoder.value(value, 0).map_err(|stop| at_key(stop, &key))?;
        entries.push(Entry { key, value: encoder.writer.take() });
    }
    Ok(entries)
}

/// Encodes a list of pairs as one map, in the order of the list.
pub(crate) fn pack(pairs: Term<'_>, bounded: bool) -> Result<Bytes, Stop> {
    let pairs: Vec<(Term<'_>, Term<'_>)> =
        pairs.decode().map_err(|_| ValueError::new("expected a list of pairs"))?;
    let mut encoder =
        Encoder { writer: Writer::new(), budget: if bounded { SLICE } else { usize::MAX } };
    encoder.writer.map(pairs.len());
    for (key, value) in pairs {
        let key = key_text(key)?;
        encoder.writer.string(&key);
        encoder.value(value, 0).map_err(|stop| at_key(stop, &key))?;
    }
    Ok(encoder.writer.take())
}

/// Takes a map of text to binaries as it is.
pub(crate) fn text_entries(map: Term<'_>) -> Result<Vec<Entry>, ValueError> {
    pairs(map)?
        .map(|(key, value)| {
            let key = key_text(key)?;
            let value = Binary::from_term(value).map_err(|_| {
                ValueError::new("expected a binary").at_key(String::from_utf8_lossy(&key))
            })?;
            Ok(Entry { key, value: Bytes::copy_from_slice(&value) })
        })
        .collect()
}

fn pairs(map: Term<'_>) -> Result<MapIterator<'_>, ValueError> {
    MapIterator::new(map).ok_or_else(|| ValueError::new("expected a map"))
}

fn key_text(key: Term<'_>) -> Result<Bytes, ValueError> {
    if let Ok(binary) = Binary::from_term(key)
        && std::str::from_utf8(&binary).is_ok()
    {
        return Ok(Bytes::copy_from_slice(&binary));
    }
    match key.atom_to_string() {
        Ok(name) => Ok(Bytes::from(name)),
        Err(_) => Err(ValueError::new(format!("the name {key:?} is neither a string nor an atom"))),
    }
}

fn at_key(stop: Stop, key: &[u8]) -> Stop {
    match stop {
        Stop::Value(error) => Stop::Value(error.at_key(String::from_utf8_lossy(key))),
        Stop::Budget => Stop::Budget,
    }
}

struct Encoder {
    writer: Writer,
    budget: usize,
}

impl Encoder {
    fn value(&mut self, term: Term<'_>, depth: usize) -> Result<(), Stop> {
        self.charge(0)?;
        match term.get_type() {
            TermType::Atom => self.atom(term),
            TermType::Integer => self.integer(term),
            TermType::Float => {
                let value: f64 = term.decode().map_err(|_| unknown(term))?;
                self.writer.float(value);
                Ok(())
            }
            TermType::Binary => {
                let data = Binary::from_term(term).map_err(|_| unknown(term))?;
                self.charge(data.len())?;
                match std::str::from_utf8(&data) {
                    Ok(text) => self.writer.string(text.as_bytes()),
                    Err(_) => self.writer.binary(&data),
                }
                Ok(())
            }
            TermType::List => self.list(term, inside(depth)?),
            TermType::Tuple => {
                let items = rustler::types::tuple::get_tuple(term).map_err(|_| unknown(term))?;
                self.writer.array(items.len());
                self.items(items.into_iter(), inside(depth)?)
            }
            TermType::Map => self.map(term, inside(depth)?),
            _ => Err(unknown(term).into()),
        }
    }

    fn atom(&mut self, term: Term<'_>) -> Result<(), Stop> {
        if term == atoms::nil().to_term(term.get_env()) {
            self.writer.nil();
        } else if let Ok(value) = term.decode::<bool>() {
            self.writer.boolean(value);
        } else {
            let name = term.atom_to_string().map_err(|_| unknown(term))?;
            self.writer.string(name.as_bytes());
        }
        Ok(())
    }

    fn integer(&mut self, term: Term<'_>) -> Result<(), Stop> {
        if let Ok(value) = term.decode::<i64>() {
            self.writer.integer(value);
        } else if let Ok(value) = term.decode::<u64>() {
            self.writer.unsigned(value);
        } else {
            let value: BigInt = term.decode().map_err(|_| unknown(term))?;
            let bytes = value.to_signed_bytes_be();
            self.charge(bytes.len())?;
            self.writer.big_integer(&bytes);
        }
        Ok(())
    }

    fn list(&mut self, term: Term<'_>, depth: usize) -> Result<(), Stop> {
        let length = term
            .list_length()
            .map_err(|_| ValueError::new("an improper list cannot be sent to Python"))?;
        // Counting has walked the list already.
        self.charge(length * BYTES_PER_UNIT / 8)?;
        self.writer.array(length);
        let items: ListIterator<'_> = term.decode().map_err(|_| unknown(term))?;
        self.items(items, depth)
    }

    fn items<'a>(
        &mut self,
        items: impl Iterator<Item = Term<'a>>,
        depth: usize,
    ) -> Result<(), Stop> {
        for (index, item) in items.enumerate() {
            self.value(item, depth).map_err(|stop| match stop {
                Stop::Value(error) => Stop::Value(error.at_index(index)),
                Stop::Budget => Stop::Budget,
            })?;
        }
        Ok(())
    }

    fn map(&mut self, term: Term<'_>, depth: usize) -> Result<(), Stop> {
        if let Ok(module) = term.map_get(atoms::struct_()) {
            return self.structure(term, module);
        }
        self.writer.map(term.map_size().map_err(|_| unknown(term))?);
        for (key, value) in pairs(term)? {
            // A key names itself in the path of its value's error.
            self.value(key, depth).map_err(|stop| at_key(stop, b"(key)"))?;
            self.value(value, depth).map_err(|stop| match stop {
                Stop::Value(error) => Stop::Value(error.at_key(key_name(key))),
                Stop::Budget => Stop::Budget,
            })?;
        }
        Ok(())
    }

    fn structure(&mut self, term: Term<'_>, module: Term<'_>) -> Result<(), Stop> {
        let module: Atom = module.decode().map_err(|_| unknown(term))?;
        if module == atoms::snakepit_binary() {
            let data = term.map_get(atoms::data()).and_then(Binary::from_term);
            let data = data.map_err(|_| ValueError::new("Snakepit.binary/1 holds no binary"))?;
            self.charge(data.len())?;
            self.writer.binary(&data);
        } else {
            let text = datetime::iso8601(term, module)?;
            self.writer.string(text.as_bytes());
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Stop> {
        self.budget = self.budget.checked_sub(1 + bytes / BYTES_PER_UNIT).ok_or(Stop::Budget)?;
        Ok(())
    }
}

fn inside(depth: usize) -> Result<usize, ValueError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(ValueError::too_deep()) }
}

fn key_name(key: Term<'_>) -> String {
    key_text(key)
        .map_or_else(|_| format!("{key:?}"), |text| String::from_utf8_lossy(&text).into_owned())
}

fn unknown(term: Term<'_>) -> ValueError {
    let what = match term.get_type() {
        TermType::Pid => "a pid",
        TermType::Port => "a port",
        TermType::Ref => "a reference",
        TermType::Fun => "a function",
        _ => "a bitstring that is no binary",
    };
    ValueError::new(format!("{what} cannot be sent to Python"))
}
