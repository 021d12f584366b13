use std::sync::Arc;
use std::time::Instant;

use pyo3::prelude::*;
use snakepit_protocol::pb::{Entry, ExecuteResponse};

use crate::call::CallState;
use crate::calls::OpenCall;
use crate::context::Call;
use crate::dispatcher::{Handler, Kind};
use crate::handlers::Job;
use crate::response::{self, Failure};
use crate::sink::Sink;
use crate::value::{DictWriter, arguments};
use crate::worker::Worker;

/// Takes the response of a unary call.
pub(crate) type Reply = Box<dyn FnOnce(ExecuteResponse) + Send>;

/// Queues a unary call; `reply` is called once, or dropped when the call is cancelled before.
pub(crate) fn start(worker: &Arc<Worker>, state: &Arc<OpenCall>, args: Vec<Entry>, reply: Reply) {
    let known = worker.dispatcher.known(&state.head.command);
    let on_main_thread = known.as_ref().is_some_and(|handler| handler.main_thread);
    let call = Unary { worker: Arc::clone(worker), state: Arc::clone(state), args, reply, known };
    worker.submit(on_main_thread, Box::new(call));
}

/// A call that waits for a thread.
struct Unary {
    worker: Arc<Worker>,
    state: Arc<OpenCall>,
    args: Vec<Entry>,
    reply: Reply,
    known: Option<Arc<Handler>>,
}

impl Job for Unary {
    fn run(self: Box<Self>, py: Python<'_>, thread: u64) {
        let begun = Instant::now();
        let Unary { worker, state, args, reply, known } = *self;
        run(py, thread, &worker, state, args, reply, known.as_ref());
        if let Some(handler) = known {
            handler.pace.note(begun.elapsed());
        }
    }

    fn is_brief(&self) -> bool {
        self.known.as_ref().is_some_and(|handler| handler.pace.is_brief())
    }

    fn refuse(self: Box<Self>, failure: Failure) {
        (self.reply)(response::failure(failure.into_plain_detail()));
    }
}

/// Runs a unary call on a handler thread, or begins it on the asyncio loop.
fn run(
    py: Python<'_>,
    thread: u64,
    worker: &Arc<Worker>,
    state: Arc<OpenCall>,
    args: Vec<Entry>,
    reply: Reply,
    known: Option<&Arc<Handler>>,
) {
    let handler = match prepare(py, worker, &state, known) {
        Ok(handler) => handler,
        Err(failure) => return answer(py, worker, &state, Err(failure), reply),
    };
    if handler.is_async {
        return begin(py, worker, &handler, state, args, reply);
    }
    if !state.enter(thread) {
        return;
    }
    let result = invoke(py, &handler, &state, args);
    answer(py, worker, &state, result, reply);
}

fn prepare(
    py: Python<'_>,
    worker: &Worker,
    state: &CallState,
    known: Option<&Arc<Handler>>,
) -> Result<Arc<Handler>, Failure> {
    let command = &state.head.command;
    let handler = match known {
        Some(handler) => Arc::clone(handler),
        None => worker.dispatcher.find(py, command)?,
    };
    match handler.kind {
        Kind::Command => Ok(handler),
        kind => Err(Failure::Kind(format!(
            "{command} is a @{}: call it with {}",
            kind.name(),
            kind.caller()
        ))),
    }
}

fn invoke<'py>(
    py: Python<'py>,
    handler: &Handler,
    state: &OpenCall,
    args: Vec<Entry>,
) -> Result<Bound<'py, PyAny>, Failure> {
    let args = arguments(py, args, state.head.codec)?;
    let call = Bound::new(py, Call { state: state.state() })?;
    Ok(handler.invoke_for(py, &state.head)?.call1((args, call))?)
}

/// Encodes the result and replies. The handler counts as running until its result is encoded:
/// that runs its code too, and may be interrupted like it.
fn answer(
    py: Python<'_>,
    worker: &Worker,
    state: &CallState,
    result: Result<Bound<'_, PyAny>, Failure>,
    reply: Reply,
) {
    let response = respond(py, worker, state, result);
    state.leave(py);
    reply(response);
}

/// The response to a handler's result.
pub(crate) fn respond(
    py: Python<'_>,
    worker: &Worker,
    state: &CallState,
    result: Result<Bound<'_, PyAny>, Failure>,
) -> ExecuteResponse {
    let codec = state.head.codec;
    let encoded = result.and_then(|value| {
        let (entries, size) = DictWriter::new(codec, "result").entries(&value)?;
        match worker.max_message_size {
            limit if size > limit => Err(Failure::TooLarge { what: "result", size, limit }),
            _ => Ok(entries),
        }
    });
    match encoded {
        Ok(entries) => response::success(entries, codec),
        Err(failure) => response::failure(failure.into_detail(py, &worker.dispatcher)),
    }
}

fn begin(
    py: Python<'_>,
    worker: &Arc<Worker>,
    handler: &Handler,
    state: Arc<OpenCall>,
    args: Vec<Entry>,
    reply: Reply,
) {
    let args = match arguments(py, args, state.head.codec) {
        Ok(args) => args,
        Err(failure) => return answer(py, worker, &state, Err(failure), reply),
    };
    let sink = Sink::unary(Arc::clone(worker), Arc::clone(&state), reply);
    Sink::begin(py, worker, handler, &state, args, None, sink);
}
