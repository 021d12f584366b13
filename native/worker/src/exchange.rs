use std::sync::Arc;

use pyo3::prelude::*;
use snakepit_protocol::Credit;
use snakepit_protocol::pb::{
    Codec, Entry, StreamRequest, StreamResponse, StreamShape, StreamStart, stream_request,
};
use tonic::{Code, Status};
use tracing::{debug, warn};

use crate::call::Head;
use crate::calls::OpenCall;
use crate::handlers::Job;
use crate::inbox::Inbox;
use crate::outbox::{Outbox, Outgoing};
use crate::request::deadline;
use crate::response::{self, Failure};
use crate::streaming::{self, Streaming};
use crate::worker::Worker;

/// Chunks of a stream on their way out.
pub(crate) type Chunks = Outgoing<StreamResponse>;

/// What one stream is to be.
pub(crate) struct Opening {
    pub(crate) head: Head,
    pub(crate) args: Vec<Entry>,
    pub(crate) shape: StreamShape,
    window: usize,
    max_buffer: usize,
}

impl Opening {
    /// A server stream for a peer that keeps no credit.
    pub(crate) fn plain(head: Head, args: Vec<Entry>) -> Self {
        Opening { head, args, shape: StreamShape::Server, window: 0, max_buffer: 0 }
    }

    fn new(start: StreamStart) -> Self {
        let (shape, codec): (StreamShape, Codec) = (start.shape(), start.codec());
        let head = Head {
            command: start.command,
            request_id: start.request_id,
            session_id: start.session_id,
            metadata: start.metadata,
            codec,
            deadline: deadline(start.timeout_ms),
        };
        let limit = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        let (window, max_buffer) = (limit(start.window.into()), limit(start.max_buffer));
        Opening { head, args: start.args, shape, window, max_buffer }
    }
}

/// Starts a stream that has no input.
pub(crate) fn server_stream(worker: &Arc<Worker>, opening: Opening) -> Chunks {
    let outbox = Outbox::new(Credit::new(opening.window, opening.max_buffer), &worker.leadership);
    let state = begin(worker, opening, &outbox, None);
    Outgoing::new(outbox, move || state.cancel())
}

/// Starts a stream whose caller sends messages of its own, the first of which is the start.
pub(crate) async fn exchange(
    worker: &Arc<Worker>,
    mut messages: tonic::Streaming<StreamRequest>,
) -> Result<Chunks, Status> {
    let first = messages.message().await?.and_then(|first| first.message);
    let Some(stream_request::Message::Start(start)) = first else {
        return Err(Status::invalid_argument("the first message of a stream is its start"));
    };
    let opening = Opening::new(start);
    let keeps_credit = opening.window > 0;
    let outbox = Outbox::new(Credit::new(opening.window, opening.max_buffer), &worker.leadership);
    let inbox = Inbox::new(opening.window, opening.max_buffer, Arc::clone(&outbox));
    let state = begin(worker, opening, &outbox, Some(Arc::clone(&inbox)));
    let reading = tokio::spawn({
        let (state, outbox, inbox) = (Arc::clone(&state), Arc::clone(&outbox), Arc::clone(&inbox));
        async move {
            if let Err(status) = read(messages, keeps_credit, &outbox, &inbox).await {
                let (command, request_id) = (&*state.head.command, &*state.head.request_id);
                match status.code() {
                    Code::InvalidArgument => {
                        warn!(command, request_id, "the caller broke the protocol")
                    }
                    code => debug!(command, request_id, "the stream was reset ({code})"),
                }
                state.cancel();
                inbox.abandon();
            }
        }
    });
    Ok(Outgoing::new(outbox, move || {
        reading.abort();
        state.cancel();
        inbox.abandon();
    }))
}

fn begin(
    worker: &Arc<Worker>,
    opening: Opening,
    outbox: &Arc<Outbox<StreamResponse>>,
    inbox: Option<Arc<Inbox>>,
) -> Arc<OpenCall> {
    let Opening { head, args, shape, .. } = opening;
    let state = worker.calls.open(head);
    let streaming =
        Streaming { state: Arc::clone(&state), args, shape, outbox: Arc::clone(outbox), inbox };
    let job = Queued { worker: Arc::clone(worker), streaming };
    let known = worker.dispatcher.known(&state.head.command);
    worker.submit(known.is_some_and(|handler| handler.main_thread), Box::new(job));
    state
}

/// A stream that waits for a thread.
struct Queued {
    worker: Arc<Worker>,
    streaming: Streaming,
}

impl Job for Queued {
    fn run(self: Box<Self>, py: Python<'_>, thread: u64) {
        streaming::run(py, thread, &self.worker, self.streaming);
    }

    fn is_brief(&self) -> bool {
        false
    }

    fn refuse(self: Box<Self>, failure: Failure) {
        let outbox = self.streaming.outbox;
        outbox.put_aside(response::error_chunk(failure.into_plain_detail()));
        outbox.finish();
    }
}

/// Reads what the caller sends until its input ends. An error means that it has gone, or broken
/// the contract.
async fn read(
    mut messages: tonic::Streaming<StreamRequest>,
    keeps_credit: bool,
    outbox: &Outbox<StreamResponse>,
    inbox: &Inbox,
) -> Result<(), Status> {
    use stream_request::Message;
    let mut complete = !keeps_credit;
    while let Some(message) = messages.message().await? {
        match message.message {
            Some(Message::Chunk(chunk)) => {
                inbox.room().await;
                if !inbox.put(chunk.chunk) {
                    return Err(Status::invalid_argument("more chunks than the window"));
                }
            }
            Some(Message::Ack(chunks)) => outbox.acknowledge(chunks as usize),
            Some(Message::HalfClose(_)) => {
                complete = true;
                inbox.complete();
            }
            Some(Message::Abort(reason)) => {
                complete = true;
                inbox.fail(reason);
            }
            Some(Message::Start(_)) | None => {
                return Err(Status::invalid_argument("a second start, or an empty message"));
            }
        }
    }
    // A caller that is killed ends its side too, and a handler must not take that for the end of
    // its input: who keeps credit says when the input is complete.
    if complete {
        inbox.complete();
        Ok(())
    } else {
        Err(Status::cancelled("the caller has gone"))
    }
}
