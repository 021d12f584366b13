//! Every value comes back as it was written; bytes that are no value are an error, not a panic.

use proptest::prelude::*;
use snakepit_protocol::value::{Build, MAX_DEPTH, ValueError, Writer, read};

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Nil,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Big(Vec<u8>),
    Float(u64),
    String(String),
    Binary(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

fn write(writer: &mut Writer, value: &Value) {
    match value {
        Value::Nil => writer.nil(),
        Value::Boolean(value) => writer.boolean(*value),
        Value::Integer(value) => writer.integer(*value),
        Value::Unsigned(value) => writer.unsigned(*value),
        Value::Big(bytes) => writer.big_integer(bytes),
        Value::Float(bits) => writer.float(f64::from_bits(*bits)),
        Value::String(text) => writer.string(text.as_bytes()),
        Value::Binary(data) => writer.binary(data),
        Value::Array(items) => {
            writer.array(items.len());
            items.iter().for_each(|item| write(writer, item));
        }
        Value::Map(pairs) => {
            writer.map(pairs.len());
            for (key, value) in pairs {
                write(writer, key);
                write(writer, value);
            }
        }
    }
}

struct Rebuild;

impl Build for Rebuild {
    type Value = Value;

    fn nil(&mut self) -> Result<Value, ValueError> {
        Ok(Value::Nil)
    }
    fn boolean(&mut self, value: bool) -> Result<Value, ValueError> {
        Ok(Value::Boolean(value))
    }
    fn integer(&mut self, value: i64) -> Result<Value, ValueError> {
        Ok(Value::Integer(value))
    }
    fn unsigned(&mut self, value: u64) -> Result<Value, ValueError> {
        Ok(Value::Unsigned(value))
    }
    fn big_integer(&mut self, twos_complement: &[u8]) -> Result<Value, ValueError> {
        Ok(Value::Big(twos_complement.to_vec()))
    }
    fn float(&mut self, value: f64) -> Result<Value, ValueError> {
        Ok(Value::Float(value.to_bits()))
    }
    fn string(&mut self, utf8: &[u8]) -> Result<Value, ValueError> {
        let text = std::str::from_utf8(utf8).map_err(|error| ValueError::new(error.to_string()))?;
        Ok(Value::String(text.to_owned()))
    }
    fn binary(&mut self, data: &[u8]) -> Result<Value, ValueError> {
        Ok(Value::Binary(data.to_vec()))
    }
    fn array(&mut self, stack: &mut Vec<Value>, from: usize) -> Result<Value, ValueError> {
        Ok(Value::Array(stack.split_off(from)))
    }
    fn map(&mut self, stack: &mut Vec<Value>, from: usize) -> Result<Value, ValueError> {
        let mut items = stack.split_off(from).into_iter();
        let mut pairs = Vec::new();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Integer),
        (-200_i64..200).prop_map(Value::Integer),
        (i64::MAX as u64 + 1..=u64::MAX).prop_map(Value::Unsigned),
        prop::collection::vec(any::<u8>(), 9..600).prop_map(Value::Big),
        any::<u64>().prop_map(Value::Float),
        ".{0,300}".prop_map(Value::String),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Binary),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::vec((inner.clone(), inner), 0..20).prop_map(Value::Map),
        ]
    })
}

fn round_trip(value: &Value) -> Result<Value, ValueError> {
    let mut writer = Writer::new();
    write(&mut writer, value);
    let mut stack = Vec::new();
    let back = read(&mut Rebuild, &mut stack, &writer.take());
    assert!(stack.is_empty());
    back
}

proptest! {
    #[test]
    fn every_value_comes_back_as_it_was_written(value in any_value()) {
        // NaN payloads survive: floats are compared by their bits.
        prop_assert_eq!(round_trip(&value), Ok(value));
    }

    #[test]
    fn arbitrary_bytes_give_a_value_or_an_error_and_leave_the_stack_clean(
        bytes in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let mut stack = Vec::new();
        let _ = read(&mut Rebuild, &mut stack, &bytes);
        prop_assert!(stack.is_empty());
    }
}

#[test]
fn containers_and_texts_of_every_length_class_come_back() {
    for length in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
        for value in [
            Value::Array(vec![Value::Nil; length]),
            Value::Map((0..length as i64).map(|i| (Value::Integer(i), Value::Nil)).collect()),
            Value::String("x".repeat(length)),
            Value::Binary(vec![7; length]),
            Value::Big(vec![7; length]),
        ] {
            assert_eq!(round_trip(&value), Ok(value));
        }
    }
}

#[test]
fn a_length_beyond_the_data_is_refused_before_memory_is_taken() {
    let array_of_four_billion = [0xdd, 0xff, 0xff, 0xff, 0xff];
    let error = read(&mut Rebuild, &mut Vec::new(), &array_of_four_billion).unwrap_err();
    assert!(error.to_string().contains("ends in the middle"), "{error}");
}

#[test]
fn nesting_beyond_the_limit_is_refused() {
    let nested = |depth| (0..depth).fold(Value::Nil, |inner, _| Value::Array(vec![inner]));
    assert!(round_trip(&nested(MAX_DEPTH)).is_ok());
    let error = round_trip(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert!(error.to_string().contains("nested more than"), "{error}");
}

#[test]
fn an_error_names_its_path_from_the_root() {
    let error =
        ValueError::new("a pid cannot be sent").at_index(3).at_key("layers").at_key("model");
    assert_eq!(error.describe("args"), "args.model.layers[3]: a pid cannot be sent");
}
