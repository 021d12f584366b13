//! Writing and reading MessagePack values.

use std::hint::black_box;

use snakepit_protocol::value::{Build, ValueError, Writer, read};

use crate::entries::{KIB, MIB};
use crate::measure::{Failure, Paths};

pub(crate) fn run(paths: &Paths) -> Result<(), Failure> {
    value(paths, "map of 10 B", 1_000, map_of(10))?;
    value(paths, "map of 1 KiB", 1_000, map_of(KIB))?;
    value(paths, "map of 1 MiB", 10, map_of(MIB))?;
    value(paths, "map of 20", 1_000, map_of_20)?;
    value(paths, "list of 1,000", 100, |writer| {
        writer.array(1_000);
        (0..1_000).for_each(|n| writer.integer(n * 97 - 10_000));
    })
}

fn value(
    paths: &Paths,
    name: &str,
    times: u64,
    write: impl Fn(&mut Writer),
) -> Result<(), Failure> {
    paths.measure(&format!("value/write/{name}"), times, || {
        let mut writer = Writer::new();
        write(&mut writer);
        black_box(writer.take());
    });
    let mut writer = Writer::new();
    write(&mut writer);
    let (encoded, mut stack) = (writer.take(), Vec::new());
    read(&mut Digest, &mut stack, &encoded)?;
    paths.measure(&format!("value/read/{name}"), times, || {
        let _ = black_box(read(&mut Digest, &mut stack, black_box(&encoded)));
    });
    Ok(())
}

fn map_of(size: usize) -> impl Fn(&mut Writer) {
    let data = vec![0xff; size];
    move |writer| {
        writer.map(1);
        writer.string(b"data");
        writer.binary(&data);
    }
}

fn map_of_20(writer: &mut Writer) {
    writer.map(20);
    for n in 0..4 {
        writer.string(b"integer");
        writer.integer(n * 12_345);
        writer.string(b"float");
        writer.float(n as f64 / 3.0);
        writer.string(b"text");
        writer.string("grün, rot, blau".as_bytes());
        writer.string(b"flag");
        writer.boolean(n % 2 == 0);
        writer.string(b"list");
        writer.array(3);
        writer.nil();
        writer.binary(b"\xff\xfe");
        writer.integer(-n);
    }
}

/// Builds nothing, so that what is counted is the reading. Each value is a number made of what
/// stands in it.
struct Digest;

impl Build for Digest {
    type Value = u64;

    fn nil(&mut self) -> Result<u64, ValueError> {
        Ok(0)
    }

    fn boolean(&mut self, value: bool) -> Result<u64, ValueError> {
        Ok(value.into())
    }

    fn integer(&mut self, value: i64) -> Result<u64, ValueError> {
        Ok(value as u64)
    }

    fn unsigned(&mut self, value: u64) -> Result<u64, ValueError> {
        Ok(value)
    }

    fn big_integer(&mut self, twos_complement: &[u8]) -> Result<u64, ValueError> {
        Ok(twos_complement.len() as u64)
    }

    fn float(&mut self, value: f64) -> Result<u64, ValueError> {
        Ok(value.to_bits())
    }

    fn string(&mut self, utf8: &[u8]) -> Result<u64, ValueError> {
        Ok(utf8.len() as u64)
    }

    fn binary(&mut self, data: &[u8]) -> Result<u64, ValueError> {
        Ok(data.len() as u64)
    }

    fn array(&mut self, stack: &mut Vec<u64>, from: usize) -> Result<u64, ValueError> {
        Ok(stack.drain(from..).fold(0, u64::wrapping_add))
    }

    fn map(&mut self, stack: &mut Vec<u64>, from: usize) -> Result<u64, ValueError> {
        self.array(stack, from)
    }
}
