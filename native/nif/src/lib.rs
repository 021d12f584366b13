//! The NIF of Snakepit. Every function decodes, spawns and returns; none waits, but for the caller
//! of a brief handler, who may look for its answer for some microseconds. Answers go to the
//! calling process as messages, under its reference.
//!
//! - [`channel`]: one resource per worker;
//! - [`call`], [`stream`]: one [`handle`] per call, which owns it;
//! - [`input`]: the chunks that callers send; [`inbox`], [`answer`]: what waits for them;
//! - [`gauge`]: what others may know of a stream, and its end from outside;
//! - [`frame`]: MessagePack for workers that are spoken to through pipes;
//! - [`mailbox`]: the messages; [`reason`]: errors as Elixir knows them;
//! - [`log`]: what this library has to say;
//! - [`term`]: Erlang terms to MessagePack and back.

mod answer;
mod atoms;
mod call;
mod channel;
mod frame;
mod gauge;
mod handle;
mod inbox;
mod input;
mod log;
mod mailbox;
mod reason;
mod request;
mod runtime;
mod signal;
mod stream;
mod term;

/// Buffers of a megabyte come and go with every large chunk. The system's allocator maps and
/// unmaps each, and the page faults cost more than the copy; this one keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

rustler::init!("Elixir.Snakepit.GRPC.Native");
