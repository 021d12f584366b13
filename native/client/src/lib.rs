//! The client of a Snakepit worker, without a word of Erlang: the NIF gives it requests and takes
//! its answers, and a benchmark or another language could do the same.
//!
//! - [`Connection`]: one worker, its HTTP/2 channel and its lane;
//! - [`Request`]: what to run there;
//! - [`unary`], [`Stream`], [`health`]: one call each, cancelled by dropping its future;
//! - [`Lane`]: many unary calls on one gRPC stream;
//! - [`Pace`]: what makes a stream wait for its consumer, with its [`Meter`]; [`Uplink`]: the
//!   caller's own chunks;
//! - [`Speaker`]: the right to send a call's messages, which can be taken away exactly once;
//! - [`CallError`]: every way a call can fail. No type of tonic goes further than this crate.

mod connection;
mod connector;
mod downlink;
mod driver;
mod error;
mod health;
mod lane;
mod meter;
mod pace;
mod peer;
mod reading;
mod request;
mod rpc;
mod speaker;
mod stream;
mod unary;
mod uplink;

pub use connection::{Connection, Options};
pub use downlink::Sink;
pub use error::{CallError, RemoteError};
pub use health::{Health, health};
pub use lane::{Arrival, CallId, Lane, Placed};
pub use meter::Meter;
pub use pace::Pace;
pub use request::Request;
pub use speaker::Speaker;
pub use stream::{Deadlines, Shape, Stream};
pub use unary::unary;
pub use uplink::{Sent, Uplink};
