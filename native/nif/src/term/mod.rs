//! Erlang terms to MessagePack and back.

mod build;
mod datetime;
mod share;
mod write;

pub(crate) use build::chunk_map;
pub(crate) use build::{result_map, text, unpack};
pub(crate) use write::{Stop, entries, pack, text_entries};
