//! Arrays of numbers travel as a map with one key, `{"__array__": [shape, dtype, data]}`: the sizes
//! of the dimensions, the type of an item, and the items as one binary, little-endian, the last
//! dimension running fastest.
//!
//! A map that says something else under that key is a map like any other.

use super::{MAX_DEPTH, ValueError, Writer};

/// The only key of the map.
pub const KEY: &str = "__array__";

/// What an item may be, and the bytes it takes.
const DTYPES: [(&str, u64); 15] = [
    ("bool", 1),
    ("u8", 1),
    ("u16", 2),
    ("u32", 4),
    ("u64", 8),
    ("s8", 1),
    ("s16", 2),
    ("s32", 4),
    ("s64", 8),
    ("f16", 2),
    ("bf16", 2),
    ("f32", 4),
    ("f64", 8),
    ("c64", 8),
    ("c128", 16),
];

/// The map, its list and the list of sizes.
const NESTING: usize = 3;

/// Says what is wrong with `length` bytes as an array of this shape and dtype.
pub fn check(shape: &[u64], dtype: &str, length: usize) -> Result<(), ValueError> {
    let known = DTYPES.iter().find(|(name, _)| *name == dtype);
    let (_, item) = known.ok_or_else(|| {
        let names: Vec<_> = DTYPES.iter().map(|(name, _)| *name).collect();
        ValueError::new(format!("the dtype of an array is {dtype}, not one of {}", names.join(" ")))
    })?;
    let needed = size(shape, *item);
    if needed == Some(length as u64) {
        return Ok(());
    }
    let sizes: Vec<_> = shape.iter().map(u64::to_string).collect();
    let needed = needed.map_or_else(|| "more".to_owned(), |needed| needed.to_string());
    Err(ValueError::new(format!(
        "an array of {dtype} with the shape {{{}}} takes {needed} bytes, not {length}",
        sizes.join(", ")
    )))
}

/// Writes what stands before the data, which is to follow as a binary.
pub fn open(
    writer: &mut Writer,
    shape: &[u64],
    dtype: &str,
    depth: usize,
) -> Result<(), ValueError> {
    if depth + NESTING > MAX_DEPTH {
        return Err(ValueError::too_deep());
    }
    writer.map(1);
    writer.string(KEY.as_bytes());
    writer.array(3);
    writer.array(shape.len());
    for size in shape {
        writer.unsigned(*size);
    }
    writer.string(dtype.as_bytes());
    Ok(())
}

/// A dimension of nothing makes it nothing, however large the others are.
fn size(shape: &[u64], item: u64) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(item, |product, size| product.checked_mul(*size))
}
