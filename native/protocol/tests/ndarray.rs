//! The form of arrays, and what is said of those that are wrong.

use proptest::prelude::*;
use snakepit_protocol::value::{MAX_DEPTH, Writer, ndarray};

fn problem(shape: &[u64], dtype: &str, length: usize) -> Option<String> {
    ndarray::check(shape, dtype, length).err().map(|error| error.describe("args.x"))
}

#[test]
fn shape_dtype_and_length_must_agree() {
    for (shape, dtype, length) in [
        (&[2, 3][..], "f32", 24),
        (&[], "f64", 8),
        (&[0], "u8", 0),
        (&[u64::MAX, 0, u64::MAX], "c128", 0),
        (&[5], "bool", 5),
        (&[1, 1, 3], "bf16", 6),
    ] {
        assert_eq!(problem(shape, dtype, length), None);
    }
    for (shape, dtype, length, text) in [
        (&[2, 3][..], "f32", 23, "an array of f32 with the shape {2, 3} takes 24 bytes, not 23"),
        (&[], "u8", 0, "an array of u8 with the shape {} takes 1 bytes, not 0"),
        (&[u64::MAX, 2], "u8", 9, "takes more bytes, not 9"),
        (&[1], "f31", 4, "the dtype of an array is f31, not one of bool u8 u16"),
    ] {
        let found = problem(shape, dtype, length).unwrap_or_default();
        assert!(found.starts_with("args.x: ") && found.contains(text), "{found}");
    }
}

#[test]
fn the_form_is_a_map_of_one_key() {
    let mut writer = Writer::new();
    ndarray::open(&mut writer, &[2, 300], "u8", 0).unwrap();
    let mut expected = b"\x81\xa9__array__\x93\x92\x02\xcd\x01\x2c\xa2u8".to_vec();
    assert_eq!(writer.take(), expected);

    ndarray::open(&mut writer, &[], "f64", MAX_DEPTH - 3).unwrap();
    expected = b"\x81\xa9__array__\x93\x90\xa3f64".to_vec();
    assert_eq!(writer.take(), expected);
    assert!(ndarray::open(&mut writer, &[], "f64", MAX_DEPTH - 2).is_err());
    assert!(writer.is_empty());
}

proptest! {
    #[test]
    fn the_data_is_as_long_as_all_items_together_or_refused(
        shape in prop::collection::vec(prop_oneof![0..5_u64, any::<u64>()], 0..5),
        other in 0..5000_usize,
    ) {
        let zero = shape.contains(&0);
        let exact = shape.iter().try_fold(8_u128, |product, size| product.checked_mul((*size).into()));
        let exact = if zero { Some(0) } else { exact };
        prop_assert_eq!(ndarray::check(&shape, "s64", other).is_ok(), exact == Some(other as u128));
        if let Some(length) = exact.and_then(|exact| usize::try_from(exact).ok()) {
            prop_assert!(ndarray::check(&shape, "s64", length).is_ok());
        }
    }
}
