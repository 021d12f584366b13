//! `snakepit_bridge._native`: the gRPC server inside a Python worker process.
//!
//! A call comes in on the tokio thread ([`service`], [`lane`]), waits for a handler thread
//! ([`handlers`]), runs there under the GIL ([`unary`], [`streaming`]) or on the asyncio loop
//! ([`sink`]). Its chunks leave through a bounded [`outbox`]; those of the caller arrive in an
//! [`inbox`], and an [`exchange`] holds the two together. [`call`] is what both sides know
//! of it, [`calls`] are all that are open, and [`context`] is what the handler sees of its own.
//! [`cancel`] stops a handler, [`errands`] is the thread that reaches into Python for the tokio
//! thread. [`value`] turns MessagePack into Python objects and back, for Python's own transports
//! too ([`msgpack`]). [`worker`] is what all of them share, [`process`] keeps it from outliving its
//! parent, whom [`control`] lines reach and whose [`orders`] it obeys, and [`server`] starts and stops
//! it. [`log`] and [`reports`] are what the worker tells of itself and of its calls.

mod call;
mod calls;
mod cancel;
mod context;
mod control;
mod dispatcher;
mod edge;
mod errands;
mod exchange;
mod generator;
mod handlers;
mod inbox;
mod inject;
mod lane;
mod leadership;
mod log;
mod msgpack;
mod orders;
mod outbox;
mod pace;
mod process;
mod reports;
mod request;
mod response;
mod server;
mod service;
mod sink;
mod streaming;
mod unary;
mod value;
mod worker;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("version", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(process::claim_process, module)?)?;
    module.add_function(wrap_pyfunction!(control::tell_parent_py, module)?)?;
    module.add_function(wrap_pyfunction!(log::set_log_level, module)?)?;
    module.add_function(wrap_pyfunction!(context::current_call, module)?)?;
    module.add_function(wrap_pyfunction!(server::serve, module)?)?;
    module.add_function(wrap_pyfunction!(msgpack::pack, module)?)?;
    module.add_function(wrap_pyfunction!(msgpack::unpack, module)?)?;
    module.add_class::<context::Call>()?;
    module.add_class::<inbox::Chunks>()?;
    module.add_class::<sink::Sink>()
}
