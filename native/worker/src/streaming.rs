use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator};
use snakepit_protocol::pb::{Entry, StreamResponse, StreamShape};

use crate::calls::OpenCall;
use crate::context::Call;
use crate::dispatcher::{Handler, Kind};
use crate::errands::Errands;
use crate::generator::{self, Step};
use crate::inbox::{Chunks, Inbox};
use crate::outbox::{Outbox, Room};
use crate::response::{self, Failure};
use crate::sink::Sink;
use crate::value::{DictWriter, arguments};
use crate::worker::Worker;

/// A stream to run.
pub(crate) struct Streaming {
    pub(crate) state: Arc<OpenCall>,
    pub(crate) args: Vec<Entry>,
    /// What the caller expects the command to be.
    pub(crate) shape: StreamShape,
    pub(crate) outbox: Arc<Outbox<StreamResponse>>,
    /// The caller's chunks, in the shapes that have some.
    pub(crate) inbox: Option<Arc<Inbox>>,
}

/// Runs a stream on a handler thread to its end, or begins it on the asyncio loop.
pub(crate) fn run(py: Python<'_>, thread: u64, worker: &Arc<Worker>, streaming: Streaming) {
    let Streaming { state, args, shape, outbox, inbox } = streaming;
    let mut pump = Pump::new(Arc::clone(worker), Arc::clone(&state), outbox);
    let prepared = prepare(py, worker, &state, shape).and_then(|handler| {
        let args = arguments(py, args, state.head.codec)?;
        Ok((handler, args))
    });
    let (handler, args) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return pump.end(py, Err(failure)),
    };
    let chunks = match handler.kind {
        Kind::ClientStream | Kind::BidiStream => {
            inbox.map(|inbox| Chunks::new(inbox, state.state(), Arc::clone(&worker.calls.errands)))
        }
        Kind::Command | Kind::Stream => None,
    };
    if handler.is_async {
        let sink = Sink::stream(pump);
        return Sink::begin(py, worker, &handler, &state, args, chunks, sink);
    }
    if !state.enter(thread) {
        return;
    }
    let ended = invoke(py, &handler, &state, args, chunks).and_then(|produced| {
        if handler.kind == Kind::ClientStream {
            return Ok(Some(produced));
        }
        drain(py, &produced, &mut pump)
    });
    pump.end(py, ended);
}

fn prepare(
    py: Python<'_>,
    worker: &Worker,
    state: &OpenCall,
    shape: StreamShape,
) -> Result<Arc<Handler>, Failure> {
    let command = &state.head.command;
    let handler = worker.dispatcher.find(py, command)?;
    let expected = match (handler.kind, shape) {
        (Kind::Stream, StreamShape::Server | StreamShape::Any)
        | (Kind::ClientStream, StreamShape::Client | StreamShape::Any)
        | (Kind::BidiStream, StreamShape::Bidi | StreamShape::Any) => return Ok(handler),
        (kind, _) => kind.caller(),
    };
    let kind = handler.kind.name();
    Err(Failure::Kind(format!("{command} is a @{kind}: call it with {expected}")))
}

fn invoke<'py>(
    py: Python<'py>,
    handler: &Handler,
    state: &Arc<OpenCall>,
    args: Bound<'py, PyDict>,
    chunks: Option<Chunks>,
) -> Result<Bound<'py, PyAny>, Failure> {
    let call = Bound::new(py, Call { state: state.state() })?;
    let invoke = handler.invoke_for(py, &state.head)?;
    Ok(match chunks {
        Some(chunks) => invoke.call1((args, call, Bound::new(py, chunks)?))?,
        None => invoke.call1((args, call))?,
    })
}

/// Takes chunk after chunk from the generator, as fast as the peer makes room.
fn drain<'py>(
    py: Python<'py>,
    generator: &Bound<'py, PyAny>,
    pump: &mut Pump,
) -> Result<Option<Bound<'py, PyAny>>, Failure> {
    let iterator = generator.cast::<PyIterator>().map_err(PyErr::from)?;
    loop {
        match generator::step(iterator)? {
            Step::Yielded(chunk) => {
                let sent = pump.encode(&chunk).map(|(chunk, size)| pump.send(py, chunk, size));
                if matches!(sent, Ok(true)) {
                    continue;
                }
                // GeneratorExit at the yield, so that `finally` runs, and nothing disturbs it.
                pump.state.tell(py);
                iterator.call_method0("close")?;
                return sent.map(|_| None);
            }
            Step::Returned(value) => return Ok(value),
        }
    }
}

/// Carries the chunks of one handler into its outbox.
pub(crate) struct Pump {
    worker: Arc<Worker>,
    pub(crate) state: Arc<OpenCall>,
    outbox: Arc<Outbox<StreamResponse>>,
    writer: DictWriter,
    ended: bool,
}

impl Drop for Pump {
    fn drop(&mut self) {
        if !self.ended {
            // By a panic, or cancelled before it began: then the outbox has no reader.
            let failure = Failure::Refused("protocol", "the worker failed on this stream");
            self.outbox.put_aside(response::error_chunk(failure.into_plain_detail()));
            self.outbox.finish();
        }
    }
}

impl Pump {
    fn new(worker: Arc<Worker>, state: Arc<OpenCall>, outbox: Arc<Outbox<StreamResponse>>) -> Self {
        let writer = DictWriter::for_many(state.head.codec, "chunk");
        Pump { worker, state, outbox, writer, ended: false }
    }

    pub(crate) fn encode(
        &mut self,
        chunk: &Bound<'_, PyAny>,
    ) -> Result<(StreamResponse, usize), Failure> {
        self.encode_as(chunk, false)
    }

    fn encode_as(
        &mut self,
        chunk: &Bound<'_, PyAny>,
        is_final: bool,
    ) -> Result<(StreamResponse, usize), Failure> {
        let (entries, size) = self.writer.entries(chunk)?;
        let limit = self.worker.max_message_size;
        if size > limit {
            return Err(Failure::TooLarge { what: "chunk", size, limit });
        }
        Ok((response::chunk(entries, self.state.head.codec, is_final), size))
    }

    /// Sends a chunk, waiting for room without the GIL. False when the peer has gone.
    fn send(&self, py: Python<'_>, chunk: StreamResponse, size: usize) -> bool {
        let room = match self.outbox.room() {
            Room::Some => true,
            Room::None => self.state.wait(py, || self.outbox.wait_for_room()),
            Room::Gone => false,
        };
        room && self.outbox.put(chunk, size) && !self.state.is_cancelled()
    }

    /// Whether a chunk would be taken now.
    pub(crate) fn room(&self) -> Room {
        self.outbox.room()
    }

    /// Takes a chunk for which there is room.
    pub(crate) fn put(&self, chunk: StreamResponse, size: usize) -> bool {
        self.outbox.put(chunk, size)
    }

    pub(crate) fn errands(&self) -> Arc<Errands> {
        Arc::clone(&self.worker.calls.errands)
    }

    pub(crate) fn on_room(&self, callback: impl FnOnce() + Send + 'static) {
        self.outbox.on_room(callback);
    }

    /// Sends the final chunk, or the error, and ends the stream.
    pub(crate) fn end(&mut self, py: Python<'_>, ended: Result<Option<Bound<'_, PyAny>>, Failure>) {
        let last = ended.and_then(|value| match value {
            Some(value) => self.encode_as(&value, true),
            None => Ok((response::chunk(Vec::new(), self.state.head.codec, true), 0)),
        });
        let last = match last {
            Ok((last, _)) => last,
            Err(failure) => response::error_chunk(failure.into_detail(py, &self.worker.dispatcher)),
        };
        self.state.leave(py);
        self.ended = true;
        self.outbox.put_aside(last);
        self.outbox.finish();
    }
}
