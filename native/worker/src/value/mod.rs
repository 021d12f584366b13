//! Python objects to the values of the contract and back.

mod buffer;
mod build;
mod json;
mod lent;
mod ndarray;
mod spent;
mod write;

pub(crate) use build::{arguments, unpack};
pub(crate) use write::{DictWriter, pack};
