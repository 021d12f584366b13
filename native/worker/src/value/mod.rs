//! Python objects to the values of the contract and back.

mod build;
mod json;
mod write;

pub(crate) use build::{arguments, unpack};
pub(crate) use write::{DictWriter, pack};
