use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple,
};
use snakepit_protocol::ENTRY_OVERHEAD;
use snakepit_protocol::pb::{Codec, Entry};
use snakepit_protocol::value::{Given, MAX_DEPTH, ValueError, Writer};

use super::{buffer, json, lent, ndarray};
use crate::response::Failure;

/// Writes dicts as entries; kept for a whole stream, whose chunks mostly have the same keys.
pub(crate) struct DictWriter {
    codec: Codec,
    root: &'static str,
    writer: Writer,
    /// Large bytes stay where they are until they have been sent. Not where the value is wanted in one
    /// piece, into which they are copied anyway.
    lends: bool,
    /// Keys seen, by the identity of their string object, which is kept alive with them.
    keys: Vec<(Py<PyString>, Bytes)>,
}

/// One value by itself.
pub(crate) fn pack(value: &Bound<'_, PyAny>) -> Result<Bytes, ValueError> {
    let mut writer = DictWriter { lends: false, ..DictWriter::new(Codec::Msgpack, "") };
    writer.value(value, 0)?;
    Ok(writer.writer.take())
}

/// The values of a stream share memory in blocks of so many bytes.
const BLOCK: usize = 16 * 1024;

/// More different keys than a stream of records has; beyond that they are not kept.
const MAX_KEYS: usize = 32;

impl DictWriter {
    /// `root` is what errors call the dict: `result`, `chunk`.
    pub(crate) fn new(codec: Codec, root: &'static str) -> Self {
        DictWriter { codec, root, writer: Writer::new(), lends: true, keys: Vec::new() }
    }

    /// The same for many dicts.
    pub(crate) fn for_many(codec: Codec, root: &'static str) -> Self {
        DictWriter { writer: Writer::in_blocks(BLOCK), ..DictWriter::new(codec, root) }
    }

    /// The entries of a dict with string keys, and the bytes they take.
    pub(crate) fn entries(
        &mut self,
        value: &Bound<'_, PyAny>,
    ) -> Result<(Vec<Entry>, usize), Failure> {
        let root = self.root;
        let fail = |error| Failure::Value(error, root);
        let dict = value.cast::<PyDict>().map_err(|_| {
            fail(ValueError::new(format!("expected a dict, got {}", type_name(value))))
        })?;
        let mut entries = Vec::with_capacity(dict.len());
        let mut size = 0;
        for (key, value) in dict {
            let key = key.cast::<PyString>().map_err(|_| {
                fail(ValueError::new(format!("the key {key} is {}, not str", type_name(&key))))
            })?;
            let name = self.key(key).map_err(fail)?;
            let entry = match self.codec {
                Codec::Msgpack => {
                    self.value(&value, 0).map_err(|error| {
                        self.writer.clear();
                        fail(error.at_key(String::from_utf8_lossy(&name)))
                    })?;
                    self.writer.take_entry(name)
                }
                Codec::Json => {
                    let value = json::write(&value, root, &String::from_utf8_lossy(&name))?;
                    Entry::new(name, value)
                }
            };
            size += entry.size() + ENTRY_OVERHEAD;
            entries.push(entry);
        }
        Ok((entries, size))
    }

    fn key(&mut self, key: &Bound<'_, PyString>) -> Result<Bytes, ValueError> {
        let seen = self.keys.iter().find(|(known, _)| known.is(key));
        if let Some((_, bytes)) = seen {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::copy_from_slice(text(key)?.as_bytes());
        if self.keys.len() < MAX_KEYS {
            self.keys.push((key.clone().unbind(), bytes.clone()));
        }
        Ok(bytes)
    }

    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), ValueError> {
        // The exact types first, most frequent first: one pointer comparison each.
        if let Ok(text_value) = value.cast_exact::<PyString>() {
            self.writer.string(text(text_value)?.as_bytes());
        } else if let Ok(integer) = value.cast_exact::<PyInt>() {
            self.integer(integer)?;
        } else if let Ok(float) = value.cast_exact::<PyFloat>() {
            self.writer.float(float.value());
        } else if let Ok(boolean) = value.cast_exact::<PyBool>() {
            self.writer.boolean(boolean.is_true());
        } else if value.is_none() {
            self.writer.nil();
        } else if let Ok(bytes) = value.cast::<PyBytes>() {
            self.bytes(bytes);
        } else if let Ok(dict) = value.cast::<PyDict>() {
            self.dict(dict, inside(depth)?)?;
        } else if let Ok(list) = value.cast::<PyList>() {
            self.writer.array(list.len());
            self.items(list.iter(), inside(depth)?)?;
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            self.writer.array(tuple.len());
            self.items(tuple.iter(), inside(depth)?)?;
        } else {
            self.unusual(value, depth)?;
        }
        Ok(())
    }

    /// Subclasses of the plain types, and what travels as one of them.
    fn unusual(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), ValueError> {
        if let Ok(text_value) = value.cast::<PyString>() {
            self.writer.string(text(text_value)?.as_bytes());
        } else if let Ok(integer) = value.cast::<PyInt>() {
            self.integer(integer)?;
        } else if let Ok(float) = value.cast::<PyFloat>() {
            self.writer.float(float.value());
        } else if value.is_instance_of::<PyByteArray>() {
            self.binary(value)?;
        } else if is_view_of_bytes(value).map_err(from_python)? {
            if value.getattr("c_contiguous").and_then(|is| is.is_truthy()).map_err(from_python)? {
                self.binary(value)?;
            } else {
                let bytes = value.call_method0("tobytes").map_err(from_python)?;
                self.binary(&bytes)?;
            }
        } else if let Some(text_value) = iso_format(value).map_err(from_python)? {
            self.writer.string(text(&text_value)?.as_bytes());
        } else if let Some(scalar) = numpy_scalar(value).map_err(from_python)? {
            // `item()` of an extended float gives the same type back: no second try.
            if scalar.get_type().is(value.get_type()) {
                return Err(refused(value));
            }
            self.value(&scalar, 0)?;
        } else if !ndarray::write(&mut self.writer, value, depth)? {
            return Err(refused(value));
        }
        Ok(())
    }

    /// Not copied when large: nobody can change it.
    fn bytes(&mut self, bytes: &Bound<'_, PyBytes>) {
        if self.lends {
            self.writer.binary_given(Given::new(bytes.as_bytes(), &|| lent::lend(bytes)));
        } else {
            self.writer.binary(bytes.as_bytes());
        }
    }

    fn binary(&mut self, value: &Bound<'_, PyAny>) -> Result<(), ValueError> {
        let writer = &mut self.writer;
        buffer::with_bytes(value, |bytes| writer.binary(bytes)).map_err(from_python)
    }

    fn integer(&mut self, value: &Bound<'_, PyInt>) -> Result<(), ValueError> {
        if let Ok(integer) = value.extract::<i64>() {
            self.writer.integer(integer);
        } else if let Ok(unsigned) = value.extract::<u64>() {
            self.writer.unsigned(unsigned);
        } else {
            let bytes = big_integer(value).map_err(from_python)?;
            self.writer.big_integer(bytes.as_bytes());
        }
        Ok(())
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Result<(), ValueError> {
        self.writer.map(dict.len());
        for (key, value) in dict {
            // A key names itself in the path of its value's error.
            self.value(&key, depth).map_err(|error| error.at_key("(key)"))?;
            self.value(&value, depth).map_err(|error| error.at_key(key.to_string()))?;
        }
        Ok(())
    }

    fn items<'py>(
        &mut self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        depth: usize,
    ) -> Result<(), ValueError> {
        for (index, item) in items.enumerate() {
            self.value(&item, depth).map_err(|error| error.at_index(index))?;
        }
        Ok(())
    }
}

fn inside(depth: usize) -> Result<usize, ValueError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(ValueError::too_deep()) }
}

fn text<'a>(value: &'a Bound<'_, PyString>) -> Result<&'a str, ValueError> {
    value.to_str().map_err(|_| ValueError::new("a str with surrogates cannot be sent as UTF-8"))
}

fn big_integer<'py>(value: &Bound<'py, PyInt>) -> PyResult<Bound<'py, PyBytes>> {
    let bits: usize = value.call_method0("bit_length")?.extract()?;
    let signed = PyDict::new(value.py());
    signed.set_item("signed", true)?;
    // One bit more, for the sign.
    let bytes = value.call_method("to_bytes", (bits / 8 + 1, "big"), Some(&signed))?;
    Ok(bytes.cast_into::<PyBytes>()?)
}

fn is_view_of_bytes(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !value.is_instance_of::<PyMemoryView>() {
        return Ok(false);
    }
    let format = value.getattr("format")?;
    let of_bytes = format.eq("B")? || format.eq("c")?;
    Ok(of_bytes && value.getattr("ndim")?.eq(1)?)
}

/// A date, a time or both of `datetime` (and its heirs, pandas' Timestamp for one) as ISO 8601.
fn iso_format<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyString>>> {
    // Not imported: then nothing can be one of its objects.
    let modules = value.py().import("sys")?.getattr("modules")?;
    let Ok(datetime) = modules.get_item("datetime") else {
        return Ok(None);
    };
    let is_one = value.is_instance(&datetime.getattr("date")?)?
        || value.is_instance(&datetime.getattr("time")?)?;
    if !is_one {
        return Ok(None);
    }
    Ok(Some(value.call_method0("isoformat")?.cast_into::<PyString>()?))
}

fn numpy_scalar<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = value.py().import("sys")?.getattr("modules")?;
    let Ok(numpy) = modules.get_item("numpy") else {
        return Ok(None);
    };
    if value.is_instance(&numpy.getattr("generic")?)? {
        value.call_method0("item").map(Some)
    } else {
        Ok(None)
    }
}

fn refused(value: &Bound<'_, PyAny>) -> ValueError {
    ValueError::new(format!("{} cannot be sent to Elixir", type_name(value)))
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().fully_qualified_name().map_or_else(
        |_| "an object of unknown type".to_owned(),
        |name| format!("an object of type {name}"),
    )
}

fn from_python(error: PyErr) -> ValueError {
    ValueError::new(error.to_string())
}
