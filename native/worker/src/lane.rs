use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use foldhash::HashMap;
use futures_util::StreamExt;
use prost::Message;
use snakepit_protocol::pb::{
    ExecuteResponse, LanePart, LaneReply, LaneRequest, lane_reply, lane_request,
};
use snakepit_protocol::wire::Rope;
use snakepit_protocol::{Credit, LANE_MESSAGE_LIMIT};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::calls::OpenCall;
use crate::outbox::{Outbox, Outgoing};
use crate::request::{from_execute, from_session};
use crate::response::{self, Failure};
use crate::unary;
use crate::worker::Worker;

/// A large reply travels in parts of this size, between which small ones pass.
const PART: usize = 64 * 1024;

/// Parts of all large replies that may wait to be sent.
const PARTS_WAITING: usize = 4;

/// The calls of one lane.
struct Lane {
    worker: Arc<Worker>,
    replies: Arc<Outbox<LaneReply>>,
    parts: mpsc::Sender<LaneReply>,
    running: Mutex<HashMap<u64, Arc<OpenCall>>>,
}

/// Serves one lane: the requests in a task of their own, the replies as the returned stream.
/// When either ends, the calls that still run are cancelled.
pub(crate) fn serve(worker: &Arc<Worker>, mut requests: Streaming<LaneRequest>) -> Replies {
    let (parts, parts_out) = mpsc::channel(PARTS_WAITING);
    let lane = Arc::new(Lane {
        worker: Arc::clone(worker),
        replies: Outbox::new(Credit::new(0, 0), &worker.leadership),
        parts,
        running: Mutex::default(),
    });
    let reading = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move {
            let mut finished = lane.worker.finished.subscribe();
            let accepted = async {
                while let Some(Ok(request)) = requests.next().await {
                    lane.accept(request);
                }
            };
            tokio::select! {
                () = accepted => lane.cancel_all(),
                _ = finished.wait_for(|finished| *finished) => {}
            }
            lane.replies.finish();
        }
    });
    let replies = Outgoing::new(Arc::clone(&lane.replies), move || {
        reading.abort();
        lane.cancel_all();
    });
    Replies { replies, parts: parts_out }
}

impl Lane {
    fn accept(self: &Arc<Self>, request: LaneRequest) {
        let id = request.id;
        let (head, args) = match request.message {
            Some(lane_request::Message::Execute(request)) => from_execute(request),
            Some(lane_request::Message::Session(request)) => from_session(request),
            Some(lane_request::Message::Cancel(_)) => {
                // Cancelled outside the lock: a call that ends takes it.
                let call = self.running().remove(&id);
                if let Some(call) = call {
                    call.cancel();
                }
                return;
            }
            None => {
                let failure = Failure::Refused("protocol", "a lane request without a message");
                return self.put(id, response::failure(failure.into_plain_detail()));
            }
        };
        let call = self.worker.calls.open(head);
        self.running().insert(id, Arc::clone(&call));
        let answer = Answer { lane: Arc::clone(self), id, call: Some(Arc::clone(&call)) };
        let reply = Box::new(move |response| answer.send(response));
        unary::start(&self.worker, &call, args, reply);
    }

    /// Sends the answer to a call, unless it is cancelled.
    fn send(self: &Arc<Self>, id: u64, call: Arc<OpenCall>, response: ExecuteResponse) {
        let size = response.encoded_len();
        if size <= LANE_MESSAGE_LIMIT {
            self.running().remove(&id);
            if !call.is_cancelled() {
                self.put(id, response);
            }
            return;
        }
        let lane = Arc::clone(self);
        self.worker.leadership.handle().spawn(async move {
            lane.send_parts(id, &call, response).await;
            lane.running().remove(&id);
        });
    }

    fn put(&self, id: u64, response: ExecuteResponse) {
        let message = Some(lane_reply::Message::Response(response));
        self.replies.put_aside(LaneReply { id, message });
    }

    async fn send_parts(&self, id: u64, call: &OpenCall, response: ExecuteResponse) {
        let mut rest = Rope::new();
        rest.message(&response);
        drop(response);
        let mut size = rest.len() as u64;
        while !call.is_cancelled()
            && let Some(data) = rest.pop(PART)
        {
            let part = LanePart { data, last: rest.is_empty(), size: std::mem::take(&mut size) };
            let message = Some(lane_reply::Message::Part(part));
            if self.parts.send(LaneReply { id, message }).await.is_err() {
                return;
            }
        }
    }

    fn cancel_all(&self) {
        let running = std::mem::take(&mut *self.running());
        running.values().for_each(|call| call.cancel());
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, Arc<OpenCall>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to answer one call; dropped unfulfilled, by a panic, it answers with an error.
struct Answer {
    lane: Arc<Lane>,
    id: u64,
    call: Option<Arc<OpenCall>>,
}

impl Answer {
    fn send(mut self, response: ExecuteResponse) {
        if let Some(call) = self.call.take() {
            self.lane.send(self.id, call, response);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            let failure = Failure::Refused("protocol", "the worker failed on this call");
            self.lane.send(self.id, call, response::failure(failure.into_plain_detail()));
        }
    }
}

/// The replies of a lane: small ones before the parts of large ones.
pub(crate) struct Replies {
    replies: Outgoing<LaneReply>,
    parts: mpsc::Receiver<LaneReply>,
}

impl futures_core::Stream for Replies {
    type Item = Result<LaneReply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match Pin::new(&mut self.replies).poll_next(context) {
            Poll::Pending => {}
            // The parts of the last replies are waiting already.
            Poll::Ready(None) => return Poll::Ready(self.parts.try_recv().ok().map(Ok)),
            reply => return reply,
        }
        match self.parts.poll_recv(context) {
            Poll::Ready(Some(part)) => Poll::Ready(Some(Ok(part))),
            // The sender lives in the lane, so the parts never end before the replies.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
