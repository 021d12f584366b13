use rustler::types::atom::Atom;
use rustler::types::tuple::{get_tuple, make_tuple};
use rustler::{Binary, Encoder, Env, Term};
use snakepit_protocol::value::{ValueError, ndarray};

use crate::atoms;

/// `{:array, shape, dtype, data}`, checked.
pub(super) struct Parts<'a> {
    pub(super) shape: Vec<u64>,
    pub(super) dtype: String,
    pub(super) data: Binary<'a>,
}

impl<'a> Parts<'a> {
    /// Those of the elements of a tuple; `None` if it is a tuple like any other.
    pub(super) fn of(elements: &[Term<'a>]) -> Option<Result<Self, ValueError>> {
        match elements {
            [tag, shape, dtype, data] if *tag == atoms::array().to_term(tag.get_env()) => {
                Some(Parts::checked(*shape, *dtype, *data))
            }
            _ => None,
        }
    }

    fn checked(shape: Term<'a>, dtype: Term<'a>, data: Term<'a>) -> Result<Self, ValueError> {
        let shape = get_tuple(shape)
            .and_then(|sizes| sizes.into_iter().map(Term::decode).collect::<Result<Vec<u64>, _>>())
            .map_err(|_| {
                ValueError::new("the shape of an array must be a tuple of integers from 0 on")
            })?;
        let dtype = dtype_name(dtype).ok_or_else(|| {
            ValueError::new("the dtype of an array must be an atom like :f32, or {:f, 32}")
        })?;
        let data = Binary::from_term(data)
            .map_err(|_| ValueError::new("the data of an array must be a binary"))?;
        ndarray::check(&shape, &dtype, data.len())?;
        Ok(Parts { shape, dtype, data })
    }
}

/// `:f32`, and `{:f, 32}`, which is how Nx says it.
fn dtype_name(dtype: Term<'_>) -> Option<String> {
    if let Ok((kind, bits)) = dtype.decode::<(Atom, u32)>() {
        let kind = kind.to_term(dtype.get_env()).atom_to_string().ok()?;
        return Some(format!("{kind}{bits}"));
    }
    dtype.atom_to_string().ok()
}

/// The array that a map of this key and value is, if it is one.
pub(super) fn tuple<'a>(env: Env<'a>, key: Term<'a>, value: Term<'a>) -> Option<Term<'a>> {
    if Binary::from_term(key).ok()?.as_slice() != ndarray::KEY.as_bytes() {
        return None;
    }
    let parts: Vec<Term<'a>> = value.decode().ok()?;
    let [shape, dtype, data] = parts[..] else {
        return None;
    };
    let sizes: Vec<u64> = shape.decode().ok()?;
    let name: &str = dtype.decode().ok()?;
    ndarray::check(&sizes, name, Binary::from_term(data).ok()?.len()).ok()?;
    let sizes: Vec<Term<'a>> = sizes.iter().map(|size| size.encode(env)).collect();
    let dtype = Atom::from_str(env, name).ok()?;
    Some((atoms::array(), make_tuple(env, &sizes), dtype, data).encode(env))
}
