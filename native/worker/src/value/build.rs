use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use snakepit_protocol::pb::{Codec, Entry};
use snakepit_protocol::value::{Build, ValueError, ndarray::KEY, read};

use super::{json, ndarray, spent};
use crate::response::Failure;

/// The arguments of a call as a dict.
pub(crate) fn arguments<'py>(
    py: Python<'py>,
    entries: Vec<Entry>,
    codec: Codec,
) -> Result<Bound<'py, PyDict>, Failure> {
    let dict = PyDict::new(py);
    let mut stack = Vec::new();
    for entry in &entries {
        let name = std::str::from_utf8(&entry.key)
            .map_err(|_| Failure::Value(ValueError::new("a name that is not UTF-8"), "args"))?;
        let value = match codec {
            Codec::Msgpack => read(&mut ObjectBuild { py, spent: true }, &mut stack, &entry.value)
                .map_err(|error| Failure::Value(error.at_key(name), "args"))?,
            Codec::Json => json::read(py, &entry.value)?,
        };
        // An interned name is compared by identity when it is bound to a parameter.
        dict.set_item(PyString::intern(py, name), value)?;
    }
    Ok(dict)
}

/// One value by itself.
pub(crate) fn unpack<'py>(py: Python<'py>, data: &[u8]) -> Result<Bound<'py, PyAny>, ValueError> {
    read(&mut ObjectBuild { py, spent: false }, &mut Vec::new(), data)
}

struct ObjectBuild<'py> {
    py: Python<'py>,
    /// Nobody reads the values after this.
    spent: bool,
}

impl<'py> Build for ObjectBuild<'py> {
    type Value = Bound<'py, PyAny>;

    fn nil(&mut self) -> Result<Self::Value, ValueError> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn boolean(&mut self, value: bool) -> Result<Self::Value, ValueError> {
        Ok(PyBool::new(self.py, value).to_owned().into_any())
    }

    fn integer(&mut self, value: i64) -> Result<Self::Value, ValueError> {
        Ok(PyInt::new(self.py, value).into_any())
    }

    fn unsigned(&mut self, value: u64) -> Result<Self::Value, ValueError> {
        Ok(PyInt::new(self.py, value).into_any())
    }

    fn big_integer(&mut self, twos_complement: &[u8]) -> Result<Self::Value, ValueError> {
        let signed = PyDict::new(self.py);
        signed
            .set_item("signed", true)
            .and_then(|()| {
                self.py.get_type::<PyInt>().call_method(
                    "from_bytes",
                    (twos_complement, "big"),
                    Some(&signed),
                )
            })
            .map_err(from_python)
    }

    fn float(&mut self, value: f64) -> Result<Self::Value, ValueError> {
        Ok(PyFloat::new(self.py, value).into_any())
    }

    fn string(&mut self, utf8: &[u8]) -> Result<Self::Value, ValueError> {
        let text =
            std::str::from_utf8(utf8).map_err(|_| ValueError::new("a string that is not UTF-8"))?;
        Ok(PyString::new(self.py, text).into_any())
    }

    fn binary(&mut self, data: &[u8]) -> Result<Self::Value, ValueError> {
        if self.spent {
            let bytes = spent::into_bytes(self.py, data);
            return bytes.map(Bound::into_any).map_err(|error| ValueError::new(error.to_string()));
        }
        Ok(PyBytes::new(self.py, data).into_any())
    }

    fn array(
        &mut self,
        stack: &mut Vec<Self::Value>,
        from: usize,
    ) -> Result<Self::Value, ValueError> {
        let list = PyList::new(self.py, stack.drain(from..)).map_err(from_python)?;
        Ok(list.into_any())
    }

    fn map(
        &mut self,
        stack: &mut Vec<Self::Value>,
        from: usize,
    ) -> Result<Self::Value, ValueError> {
        if let Some([key, value]) = stack.get(from..)
            && key.cast::<PyString>().is_ok_and(|key| key == KEY)
        {
            let value = ndarray::make(value);
            stack.truncate(from);
            return value;
        }
        let dict = PyDict::new(self.py);
        let mut items = stack.drain(from..);
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            dict.set_item(&key, value).map_err(|error| {
                if error.is_instance_of::<PyTypeError>(self.py) {
                    ValueError::new("a list or a map cannot be the key of a dict")
                } else {
                    from_python(error)
                }
            })?;
        }
        Ok(dict.into_any())
    }
}

fn from_python(error: PyErr) -> ValueError {
    ValueError::new(error.to_string())
}
