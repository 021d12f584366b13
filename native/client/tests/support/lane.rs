//! A lane, and the peer's end of it.

use std::sync::Arc;

use bytes::Bytes;
use snakepit_client::{CallError, CallId, Connection, Lane, Placed, Request};
use snakepit_protocol::pb::{
    ExecuteResponse, LaneCancel, LanePart, LaneReply, LaneRequest, lane_reply, lane_request,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Streaming;

use super::peer::{Outlet, Peer};
use super::{number, numbered, request, response};

pub type Answer = Result<ExecuteResponse, CallError>;

/// A call on a lane.
pub struct Ticket {
    lane: Arc<Lane>,
    id: CallId,
}

impl Ticket {
    pub fn new(lane: &Arc<Lane>, id: CallId) -> Self {
        Ticket { lane: Arc::clone(lane), id }
    }

    pub fn taken(&self) {
        self.lane.taken();
    }

    pub fn cancel(&self) {
        self.lane.cancel(self.id);
    }
}

/// Opens the lane of a connection; the task carries it.
pub fn open(connection: &Connection) -> (Arc<Lane>, JoinHandle<()>) {
    let task = tokio::spawn(connection.open_lane().unwrap());
    (Arc::clone(connection.lane().unwrap()), task)
}

pub fn numbered_request(number: usize) -> Request {
    Request { args: vec![numbered(number)], ..request("echo") }
}

/// Makes a call whose number is its argument; its caller says when it has taken the answer. Callers
/// begin to look for their answers themselves after more calls than that.
pub fn ask(lane: &Arc<Lane>, number: usize) -> (Ticket, oneshot::Receiver<Answer>) {
    let (sender, answer) = oneshot::channel();
    let told = move |answer, _arrival| {
        let _ = sender.send(answer);
    };
    match lane.call_and_take(numbered_request(number), told).unwrap() {
        Placed::Waits(id) => (Ticket::new(lane, id), answer),
        Placed::Answered => panic!("answered at once"),
    }
}

/// The peer's end of a lane.
pub struct Other {
    pub requests: Streaming<LaneRequest>,
    pub replies: Outlet<LaneReply>,
}

impl Other {
    pub async fn accept(peer: &mut Peer) -> Self {
        let (requests, replies) = peer.lanes.next().await.accept();
        Other { requests, replies }
    }

    /// The id of the next frame.
    pub async fn id(&mut self) -> u64 {
        self.requests.message().await.unwrap().unwrap().id
    }

    /// The next frame: the id, and the number in the call or None for a cancel.
    pub async fn frame(&mut self) -> (u64, Option<usize>) {
        frame(self.requests.message().await.unwrap().unwrap())
    }

    pub fn reply(&self, id: u64, number: usize) {
        reply(&self.replies, id, response(vec![numbered(number)]));
    }

    pub fn part(&self, id: u64, data: Bytes, last: bool) {
        self.part_of(id, data, last, 0);
    }

    pub fn part_of(&self, id: u64, data: Bytes, last: bool, size: u64) {
        let message = Some(lane_reply::Message::Part(LanePart { data, last, size }));
        self.replies.send(LaneReply { id, message });
    }
}

pub fn frame(request: LaneRequest) -> (u64, Option<usize>) {
    match request.message.unwrap() {
        lane_request::Message::Execute(call) => (request.id, Some(number(&call.args))),
        lane_request::Message::Session(call) => (request.id, Some(number(&call.args))),
        lane_request::Message::Cancel(LaneCancel {}) => (request.id, None),
    }
}

pub fn reply(replies: &Outlet<LaneReply>, id: u64, response: ExecuteResponse) {
    replies.send(LaneReply { id, message: Some(lane_reply::Message::Response(response)) });
}

pub fn number_in(answer: Answer) -> usize {
    number(&answer.unwrap().result)
}
