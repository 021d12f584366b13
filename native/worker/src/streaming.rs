use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyIterator;
use pyo3::types::iterator::PySendResult;
use snakepit_protocol::pb::{Entry, StreamResponse};

use crate::call::{Call, CallState};
use crate::dispatcher::{Handler, Kind};
use crate::outbox::{Outbox, Room};
use crate::response::{self, Failure};
use crate::server::Worker;
use crate::sink::Sink;
use crate::value::{DictWriter, arguments};

/// Runs a stream on a handler thread to its end, or begins it on the asyncio loop.
pub(crate) fn run(
    py: Python<'_>,
    thread: u64,
    worker: &Arc<Worker>,
    state: Arc<CallState>,
    args: &[Entry],
    outbox: Arc<Outbox<StreamResponse>>,
) {
    let mut pump = Pump::new(Arc::clone(worker), Arc::clone(&state), outbox);
    let handler = match prepare(py, worker, &state) {
        Ok(handler) => handler,
        Err(failure) => return pump.end(py, Err(failure)),
    };
    if handler.is_async {
        match arguments(py, args, state.head.codec) {
            Ok(args) => {
                let sink = Sink::stream(pump);
                Sink::begin(py, worker, &handler, &state, args, sink);
            }
            Err(failure) => pump.end(py, Err(failure)),
        }
        return;
    }
    if !state.enter(thread, true) {
        return;
    }
    let ended = drain(py, &handler, &mut pump, args);
    pump.end(py, ended);
}

fn prepare(py: Python<'_>, worker: &Worker, state: &CallState) -> Result<Arc<Handler>, Failure> {
    let command = &state.head.command;
    let handler = worker.dispatcher.find(py, command)?;
    match handler.kind {
        Kind::Stream => Ok(handler),
        Kind::Command => Err(Failure::Kind(format!(
            "{command} is a @command and gives one result: call it with execute"
        ))),
        kind => Err(Failure::Kind(format!(
            "{command} is a @{}: call it with execute_{}",
            kind.name(),
            kind.name()
        ))),
    }
}

/// Takes chunk after chunk from the generator, as fast as the peer makes room.
fn drain<'py>(
    py: Python<'py>,
    handler: &Handler,
    pump: &mut Pump,
    args: &[Entry],
) -> Result<Option<Bound<'py, PyAny>>, Failure> {
    let args = arguments(py, args, pump.state.head.codec)?;
    let call = Bound::new(py, Call { state: Arc::clone(&pump.state) })?;
    let generator = handler.invoke.bind(py).call1((args, call))?;
    let iterator = generator.cast_into::<PyIterator>().map_err(PyErr::from)?;
    let none = py.None().into_bound(py);
    loop {
        match iterator.send(&none)? {
            PySendResult::Next(chunk) => {
                let taken = pump.encode(&chunk).map(|(chunk, size)| pump.send(py, chunk, size));
                match taken {
                    Ok(true) => {}
                    Ok(false) => {
                        // GeneratorExit at the yield, so that `finally` runs.
                        iterator.call_method0("close")?;
                        return Ok(None);
                    }
                    Err(failure) => {
                        iterator.call_method0("close")?;
                        return Err(failure);
                    }
                }
            }
            PySendResult::Return(value) if value.is_none() => return Ok(None),
            PySendResult::Return(value) => return Ok(Some(value)),
        }
    }
}

/// Carries the chunks of one handler into its outbox.
pub(crate) struct Pump {
    worker: Arc<Worker>,
    pub(crate) state: Arc<CallState>,
    outbox: Arc<Outbox<StreamResponse>>,
    writer: DictWriter,
    ended: bool,
}

impl Drop for Pump {
    fn drop(&mut self) {
        if !self.ended {
            // By a panic, or cancelled before it began: then the outbox has no reader.
            let failure = Failure::Refused("protocol", "the worker failed on this stream");
            self.outbox.put(response::error_chunk(failure.into_plain_detail()), 0);
            self.outbox.finish();
        }
    }
}

impl Pump {
    fn new(
        worker: Arc<Worker>,
        state: Arc<CallState>,
        outbox: Arc<Outbox<StreamResponse>>,
    ) -> Self {
        let writer = DictWriter::new(state.head.codec, "chunk");
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
            Room::None => py.detach(|| self.outbox.wait_for_room()),
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

    pub(crate) fn runtime(&self) -> tokio::runtime::Handle {
        self.worker.runtime.clone()
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
        let (last, size) = last.unwrap_or_else(|failure| {
            (response::error_chunk(failure.into_detail(py, &self.worker.dispatcher)), 0)
        });
        self.state.leave(py);
        self.ended = true;
        self.outbox.put(last, size);
        self.outbox.finish();
    }
}
