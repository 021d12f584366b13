//! Erlang terms to MessagePack and back.

mod budget;
mod build;
mod datetime;
mod ndarray;
mod share;
mod write;

pub(crate) use budget::{Budget, Stop};
pub(crate) use build::{Maps, text, unpack};
pub(crate) use share::SHARE_FROM;
pub(crate) use write::{entries, pack, text_entries};
