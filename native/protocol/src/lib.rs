//! Snakepit's wire contract: the generated gRPC messages, and the codec of the values in them.
//!
//! - [`pb`]: messages, client and server stubs of `proto/snakepit.proto`;
//! - [`Credit`]: how far one side of a stream may run ahead of the other;
//! - [`value`]: MessagePack values, written from and built into whatever each side holds
//!   (Erlang terms in the NIF, Python objects in the worker);
//! - [`wire`]: messages as HTTP/2 carries them, and [`Socket`], which carries HTTP/2.

/// Messages and stubs generated from `proto/snakepit.proto` by `snakepit_codegen`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
#[rustfmt::skip]
pub mod pb {
    include!("generated/snakepit.rs");

    pub use crate::Entry;

    /// The encoded descriptor set of the contract, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor.bin");
}

mod credit;
mod entry;
mod habit;
mod socket;
pub mod value;
pub mod wire;

pub use credit::{Credit, ENTRY_OVERHEAD, chunk_size};
pub use entry::Entry;
pub use habit::Habit;
pub use socket::Socket;

/// A reply larger than this does not travel on the lane in one piece, and a request not at all:
/// it would hold up the small ones behind it, and whoever happens to take it apart for more than a
/// millisecond.
pub const LANE_MESSAGE_LIMIT: usize = 128 * 1024;

/// The largest window HTTP/2 knows. A connection whose window is this is never what holds up a
/// stream: the streams' own windows and [`Credit`] are. It also is h2's measure for how
/// much of what nobody reads any more it puts up with before it ends a connection.
pub const MAX_WINDOW: u32 = (1 << 31) - 1;

/// What a message may be larger than the values in it: the limit users set is on values.
pub const MESSAGE_OVERHEAD: usize = 64 * 1024;

/// Bytes of one HTTP/2 frame that either side takes: a value of a megabyte arrives in one piece, and
/// holds up the other calls of the connection for a fraction of a millisecond.
pub const FRAME_SIZE: u32 = 1024 * 1024 + 64 * 1024;
