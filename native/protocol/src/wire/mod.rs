//! gRPC messages on their way through HTTP/2, with large values neither copied on the way out nor,
//! if they arrive in one piece, on the way in.
//!
//! tonic's codec gathers every message in one buffer, on both sides: for a megabyte that is three
//! copies more than the socket makes. So the bodies of calls are ours, and all else of HTTP/2 and
//! gRPC is tonic's.
//!
//! - [`Rope`]: encoded messages; [`Outgoing`]: a stream of messages as an HTTP/2 body;
//! - [`Arrivals`]: what has arrived; [`Incoming`]: an HTTP/2 body as a stream of messages;
//! - [`Carried`]: takes a body past tonic's codec.

mod arrivals;
mod carried;
mod incoming;
mod outgoing;
mod rope;

pub use arrivals::{Arrivals, Malformed};
pub use carried::Carried;
pub use incoming::Incoming;
pub use outgoing::{Outgoing, Side};
pub use rope::Rope;

/// Bytes before each message: whether it is compressed, which none of ours is, and its length.
const PREFIX: usize = 5;

/// Messages are gathered until so many bytes are there, or no more are ready.
const BURST: usize = 32 * 1024;

/// From this size on a value is a piece of its own. Below, a copy costs less than one more frame
/// of HTTP/2.
const PIECE_FROM: usize = 16 * 1024;
