use bytes::Bytes;
use rustler::types::atom::Atom;
use rustler::{BigInt, Binary, ListIterator, MapIterator, Term, TermType};
use snakepit_protocol::pb::Entry;
use snakepit_protocol::value::{Given, MAX_DEPTH, ValueError, Writer, ndarray as wire};

use super::budget::{Budget, Stop};
use super::{datetime, ndarray, share};
use crate::atoms;

/// Encodes a map with text keys, one MessagePack object per value.
pub(crate) fn entries(map: Term<'_>, budget: &mut Budget) -> Result<Vec<Entry>, Stop> {
    let mut encoder = Encoder { writer: Writer::new(), budget };
    let mut entries = Vec::new();
    for (key, value) in pairs(map)? {
        let key = encoder.key(key)?;
        encoder.value(value, 0).map_err(|stop| at_key(stop, &key))?;
        entries.push(encoder.writer.take_entry(key));
    }
    Ok(entries)
}

/// Encodes a list of pairs as one map, in the order of the list.
pub(crate) fn pack(pairs: Term<'_>, budget: &mut Budget) -> Result<Bytes, Stop> {
    let pairs: Vec<(Term<'_>, Term<'_>)> =
        pairs.decode().map_err(|_| ValueError::new("expected a list of pairs"))?;
    let mut encoder = Encoder { writer: Writer::new(), budget };
    encoder.writer.map(pairs.len());
    for (key, value) in pairs {
        let key = encoder.key(key)?;
        encoder.writer.string(&key);
        encoder.value(value, 0).map_err(|stop| at_key(stop, &key))?;
    }
    Ok(encoder.writer.take())
}

/// Takes a map of text to binaries as it is.
pub(crate) fn text_entries(map: Term<'_>, budget: &mut Budget) -> Result<Vec<Entry>, Stop> {
    let mut encoder = Encoder { writer: Writer::new(), budget };
    let mut entries = Vec::new();
    for (key, value) in pairs(map)? {
        let key = encoder.key(key)?;
        let value = Binary::from_term(value).map_err(|_| {
            ValueError::new("expected a binary").at_key(String::from_utf8_lossy(&key))
        })?;
        encoder.budget.charge(value.len())?;
        entries.push(Entry::new(key, Bytes::copy_from_slice(&value)));
    }
    Ok(entries)
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

struct Encoder<'b> {
    writer: Writer,
    budget: &'b mut Budget,
}

impl Encoder<'_> {
    fn key(&mut self, key: Term<'_>) -> Result<Bytes, Stop> {
        let size = Binary::from_term(key).map_or(0, |key| key.len());
        self.budget.charge(size)?;
        Ok(key_text(key)?)
    }

    fn value(&mut self, term: Term<'_>, depth: usize) -> Result<(), Stop> {
        self.budget.charge(0)?;
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
                self.budget.charge(data.len())?;
                let keep = || share::keep(term);
                let given = Given::new(&data, &keep);
                match std::str::from_utf8(&data) {
                    Ok(_) => self.writer.string_given(given),
                    Err(_) => self.writer.binary_given(given),
                }
                Ok(())
            }
            TermType::List => self.list(term, inside(depth)?),
            TermType::Tuple => {
                let items = rustler::types::tuple::get_tuple(term).map_err(|_| unknown(term))?;
                if let Some(array) = ndarray::Parts::of(&items) {
                    return self.ndarray(&array?, depth);
                }
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
            self.budget.charge(bytes.len())?;
            self.writer.big_integer(&bytes);
        }
        Ok(())
    }

    fn list(&mut self, term: Term<'_>, depth: usize) -> Result<(), Stop> {
        let length = self.length(term)?;
        self.writer.array(length);
        let items: ListIterator<'_> = term.decode().map_err(|_| unknown(term))?;
        self.items(items, depth)
    }

    /// Counts no further than the budget goes: every item will cost something.
    fn length(&self, list: Term<'_>) -> Result<usize, Stop> {
        let (mut rest, mut length) = (list, 0);
        while let Ok((_head, tail)) = rest.list_get_cell() {
            if length == self.budget.terms() {
                return Err(Stop::Budget);
            }
            (rest, length) = (tail, length + 1);
        }
        if rest.is_empty_list() {
            Ok(length)
        } else {
            Err(ValueError::new("an improper list cannot be sent to Python").into())
        }
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

    fn ndarray(&mut self, array: &ndarray::Parts<'_>, depth: usize) -> Result<(), Stop> {
        self.budget.charge(array.data.len())?;
        wire::open(&mut self.writer, &array.shape, &array.dtype, depth)?;
        self.writer.binary_given(Given::new(&array.data, &|| share::keep(array.data.into())));
        Ok(())
    }

    fn structure(&mut self, term: Term<'_>, module: Term<'_>) -> Result<(), Stop> {
        let module: Atom = module.decode().map_err(|_| unknown(term))?;
        if module == atoms::snakepit_binary() {
            let data = term.map_get(atoms::data()).and_then(Binary::from_term);
            let data = data.map_err(|_| ValueError::new("Snakepit.binary/1 holds no binary"))?;
            self.budget.charge(data.len())?;
            self.writer.binary_given(Given::new(&data, &|| share::keep(data.into())));
        } else {
            let text = datetime::iso8601(term, module)?;
            self.writer.string(text.as_bytes());
        }
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
