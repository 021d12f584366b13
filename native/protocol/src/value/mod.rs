//! One value is one MessagePack object: nil, booleans, integers, floats, strings, binaries, arrays
//! and maps as MessagePack has them, and integers beyond 64 bits as extension [`BIG_INTEGER`].
//!
//! [`Writer`] appends objects to a buffer; [`read`] walks one object and tells a [`Build`] what it
//! finds. Neither knows Erlang or Python.

mod error;
pub mod ndarray;
mod read;
mod write;

pub use error::{Segment, ValueError};
pub use read::{Build, read};
pub use write::{Given, Writer};

/// The extension type of an integer beyond 64 bits: big-endian two's complement.
pub const BIG_INTEGER: i8 = 1;

/// Values nested deeper than this are refused, in both directions: the walk is recursive, and a
/// list that contains itself would never end.
pub const MAX_DEPTH: usize = 256;
