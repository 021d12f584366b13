//! The client of a Snakepit worker, without a word of Erlang: the NIF gives it requests and takes
//! its answers, and a benchmark or another language could do the same.
//!
//! - [`Connection`]: one worker, its HTTP/2 channel and its lane;
//! - [`Request`]: what to run there;
//! - [`unary`], [`stream`], [`health`]: one call each, cancelled by dropping its future;
//! - [`Lane`]: many unary calls on one gRPC stream;
//! - [`Credit`]: how far a stream may run ahead of its consumer;
//! - [`Speaker`]: the right to send a call's messages, which can be taken away exactly once;
//! - [`CallError`]: every way a call can fail. No type of tonic goes further than this crate.

mod connection;
mod credit;
mod error;
mod health;
mod lane;
mod request;
mod speaker;
mod stream;
mod unary;

pub use connection::{Connection, Options};
pub use credit::Credit;
pub use error::{CallError, RemoteError};
pub use health::{Health, health};
pub use lane::{Lane, Ticket};
pub use request::Request;
pub use speaker::Speaker;
pub use stream::{Deadlines, Sink, stream};
pub use unary::unary;
