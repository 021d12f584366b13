use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use prost::Message as _;
use snakepit_protocol::LANE_MESSAGE_LIMIT;
use snakepit_protocol::pb::{
    ExecuteResponse, LaneCancel, LaneReply, LaneRequest, lane_reply, lane_request,
};

use crate::unary::accept;
use crate::{CallError, Connection, Request};

/// So many calls may be on a lane at once, sent or not. Far above any worker's capacity: it
/// bounds memory, not concurrency.
const MAX_CALLS: usize = 16_384;

type OnReply = Box<dyn FnOnce(Result<ExecuteResponse, CallError>) + Send>;

/// Many unary calls on one bidirectional gRPC stream, told apart by id.
///
/// A call costs no headers, no HTTP/2 stream and no task of its own. Requests wait in an outbox
/// until HTTP/2 takes them; one reader hands the replies to whoever waits for them. When the lane
/// breaks, every call on it gets [`CallError::WorkerExited`].
pub struct Lane {
    max_message_size: usize,
    state: Mutex<State>,
}

struct State {
    open: bool,
    next_id: u64,
    waiting: HashMap<u64, Waiting>,
    outbox: VecDeque<Outgoing>,
    writer: Option<Waker>,
}

struct Waiting {
    on_reply: OnReply,
    parts: BytesMut,
}

enum Outgoing {
    Call(u64, Box<Request>),
    Cancel(u64),
}

/// Names a call on a lane, to cancel it.
#[derive(Debug)]
pub struct Ticket {
    lane: Arc<Lane>,
    id: u64,
}

impl Ticket {
    /// Stops the call: its answer goes nowhere, and the worker is told.
    pub fn cancel(&self) {
        self.lane.cancel(self.id);
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Lane")
            .field("open", &state.open)
            .field("waiting", &state.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Lane {
    pub(crate) fn new(max_message_size: usize) -> Self {
        let state = State {
            open: true,
            next_id: 1,
            waiting: HashMap::new(),
            outbox: VecDeque::new(),
            writer: None,
        };
        Lane { max_message_size, state: Mutex::new(state) }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Whether a request is small enough not to hold up the others.
    pub fn carries(request: &Request) -> bool {
        request.args_size() <= LANE_MESSAGE_LIMIT
    }

    /// Puts a call on the lane; `on_reply` is called exactly once, from the lane's task, unless
    /// the ticket is cancelled. Never waits.
    pub fn call(
        self: &Arc<Self>,
        request: Request,
        on_reply: impl FnOnce(Result<ExecuteResponse, CallError>) + Send + 'static,
    ) -> Result<Ticket, CallError> {
        let mut state = self.lock();
        if !state.open {
            return Err(CallError::WorkerExited);
        }
        if state.waiting.len() >= MAX_CALLS {
            return Err(CallError::Busy);
        }
        let id = state.next_id;
        state.next_id += 1;
        let waiting = Waiting { on_reply: Box::new(on_reply), parts: BytesMut::new() };
        state.waiting.insert(id, waiting);
        state.outbox.push_back(Outgoing::Call(id, Box::new(request)));
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Ok(Ticket { lane: Arc::clone(self), id })
    }

    fn cancel(&self, id: u64) {
        let mut state = self.lock();
        // Dropped after the lock is: what it owns may take locks of its own.
        let Some(waiting) = state.waiting.remove(&id) else {
            return;
        };
        let unsent =
            |outgoing: &Outgoing| matches!(outgoing, Outgoing::Call(call, _) if *call == id);
        match state.outbox.iter().position(unsent) {
            Some(index) => {
                state.outbox.remove(index);
            }
            // At most one per call that was sent: the outbox stays bounded by MAX_CALLS.
            None => state.outbox.push_back(Outgoing::Cancel(id)),
        }
        let writer = state.writer.take();
        drop(state);
        drop(waiting);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Carries the lane until the connection ends.
    pub(crate) async fn run(self: Arc<Self>, connection: &Connection) {
        // Also when this future is dropped or panics, nobody is left waiting.
        let _closing = Closing(&self);
        let outgoing = connection.request(Outgoings(Arc::clone(&self)));
        let mut client = connection.client();
        let carried = connection.until_closed(async {
            let mut replies = client.lane(outgoing).await?.into_inner();
            while let Some(reply) = replies.message().await? {
                self.deliver(reply);
            }
            Ok(())
        });
        let _ = carried.await;
    }

    fn deliver(&self, reply: LaneReply) {
        let id = reply.id;
        let (waiting, result) = match reply.message {
            Some(lane_reply::Message::Response(response)) => (self.take(id), accept(response)),
            Some(lane_reply::Message::Part(part)) => {
                let mut state = self.lock();
                let Some(waiting) = state.waiting.get_mut(&id) else {
                    return;
                };
                let size = waiting.parts.len() + part.data.len();
                let result = if size > self.max_message_size {
                    let limit = self.max_message_size;
                    Err(CallError::TooLarge(format!("a reply of over {limit} bytes")))
                } else {
                    waiting.parts.extend_from_slice(&part.data);
                    if !part.last {
                        return;
                    }
                    let whole = std::mem::take(&mut waiting.parts).freeze();
                    ExecuteResponse::decode(whole)
                        .map_err(|error| CallError::Protocol(error.to_string()))
                        .and_then(accept)
                };
                (state.waiting.remove(&id), result)
            }
            None => {
                let error = "a reply without a message".to_owned();
                (self.take(id), Err(CallError::Protocol(error)))
            }
        };
        // No entry: the call was cancelled while its reply was on the way.
        if let Some(waiting) = waiting {
            answer(waiting.on_reply, result);
        }
    }

    fn take(&self, id: u64) -> Option<Waiting> {
        self.lock().waiting.remove(&id)
    }

    fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        state.outbox.clear();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for call in waiting.into_values() {
            answer(call.on_reply, Err(CallError::WorkerExited));
        }
    }

    fn poll_outgoing(&self, context: &mut Context<'_>) -> Poll<Option<LaneRequest>> {
        let mut state = self.lock();
        match state.outbox.pop_front() {
            Some(outgoing) => {
                drop(state);
                Poll::Ready(Some(outgoing.into()))
            }
            None if !state.open => Poll::Ready(None),
            None => {
                state.writer = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    // Nothing awaits and nothing foreign runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Outgoing> for LaneRequest {
    fn from(outgoing: Outgoing) -> Self {
        match outgoing {
            Outgoing::Call(id, request) => request.into_lane_request(id),
            Outgoing::Cancel(id) => {
                LaneRequest { id, message: Some(lane_request::Message::Cancel(LaneCancel {})) }
            }
        }
    }
}

/// A panic over one call's answer must not take the other calls on the lane with it.
fn answer(on_reply: OnReply, result: Result<ExecuteResponse, CallError>) {
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| on_reply(result)));
}

struct Closing<'a>(&'a Lane);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The request side of the lane, as tonic wants it.
struct Outgoings(Arc<Lane>);

impl futures_core::Stream for Outgoings {
    type Item = LaneRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<LaneRequest>> {
        self.0.poll_outgoing(context)
    }
}
