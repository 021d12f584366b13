use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use foldhash::HashSet;
use snakepit_protocol::pb::{LanePart, LaneReply, LaneRequest, lane_reply};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::crowd::PATIENCE;
use super::{Arrival, Lane, OnReply, Reply, wake};
use crate::rpc::Method;
use crate::unary::accept;
use crate::{CallError, Connection};

/// So many calls are told of the lane's end by whoever notices it, who may be a caller; more by a task.
const AT_ONCE: usize = 64;

/// What goes on on a lane between its callers and HTTP/2.
impl Lane {
    /// Carries the lane until the connection ends, or its last handle is gone.
    pub(crate) fn run(
        self: Arc<Self>,
        connection: &Connection,
    ) -> impl Future<Output = ()> + Send + use<> {
        // From here on: when the future is dropped, be it before it began, nobody is left waiting.
        let closing = Closing(Arc::clone(&self));
        let outgoing = Outgoings(Arc::clone(&self));
        let rpcs = connection.rpcs();
        let mut closed = connection.closed();
        let peer = Arc::clone(connection.peer());
        async move {
            let _closing = closing;
            let carried = async {
                let mut replies = rpcs.begin(Method::Lane, outgoing, None).await?;
                let (mut patience, mut waits) = (pin!(sleep(PATIENCE)), false);
                loop {
                    tokio::select! {
                        biased;
                        // First: replies may come without a pause.
                        () = &mut patience, if waits => {
                            waits = false;
                            self.crowd.give_up();
                            self.send_gathered();
                        }
                        reply = replies.message() => match reply? {
                            Some(reply) => self.deliver(reply),
                            None => return Ok::<_, Status>(()),
                        },
                    }
                    if !waits && self.crowd.is_expected() {
                        waits = true;
                        patience.as_mut().reset(Instant::now() + PATIENCE);
                    }
                }
            };
            tokio::select! {
                biased;
                ended = carried => {
                    let why = ended.err().map(|status| status.code());
                    peer.is_lost(&format!("its lane ended ({})", why.unwrap_or(Code::Ok)));
                }
                _ = closed.wait_for(|closed| *closed) => {}
            }
        }
    }

    fn deliver(self: &Arc<Self>, reply: LaneReply) {
        match reply.message {
            Some(lane_reply::Message::Response(response)) => self.end(reply.id, accept(response)),
            Some(lane_reply::Message::Part(part)) => self.gather(reply.id, &part),
            None => {
                let what = "a reply without a message".to_owned();
                self.end(reply.id, Err(CallError::Protocol(what)));
            }
        }
    }

    /// Adds a part to a reply.
    fn gather(self: &Arc<Self>, id: u64, part: &LanePart) {
        // Out of the lock, for which callers wait on threads that must not, while it grows.
        let Some(mut parts) = self.lock().parts(id).map(std::mem::take) else {
            return;
        };
        match parts.add(part, self.max_message_size) {
            Err(error) => self.end(id, Err(error)),
            Ok(()) if part.last => {
                let lane = Arc::clone(self);
                // A task of its own: whoever polls the connection may be a caller, for whom it would
                // take too long.
                tokio::spawn(async move { lane.end_later(id, parts.whole().and_then(accept)) });
            }
            Ok(()) => {
                if let Some(gathered) = self.lock().parts(id) {
                    *gathered = parts;
                }
            }
        }
    }

    fn end(&self, id: u64, result: Reply) {
        // No entry: the call was cancelled while its reply was on the way.
        let (removed, arrival) = {
            let mut state = self.lock();
            (state.remove(id), state.arrival(id))
        };
        if let Some((waiting, _in_use)) = removed {
            if waiting.takes && arrival == Arrival::Later {
                self.crowd.grow();
            }
            answer(waiting.on_reply, result, arrival);
        }
    }

    /// The same by another task than that which carries the lane. Nobody waits for the caller to come,
    /// as it would not be noticed if it does not; and one that looks for this answer is told of it.
    fn end_later(&self, id: u64, result: Reply) {
        let removed = self.lock().remove(id);
        if let Some((waiting, _in_use)) = removed {
            answer(waiting.on_reply, result, Arrival::Later);
        }
    }

    fn close(&self) {
        let mut state = self.lock();
        self.open.store(false, Ordering::Release);
        let _in_use = state.in_use.take();
        let outbox = std::mem::take(&mut state.outbox);
        let waiting = std::mem::take(&mut state.waiting);
        let looked_for = waiting.keys().copied().find(|id| state.arrival(*id) == Arrival::AtOnce);
        // The sender of requests has to learn of it: HTTP/2 ends a stream with both its halves.
        wake(state);
        let unsent: HashSet<u64> = outbox.iter().map(|message| message.id).collect();
        let mut broken = Broken(Vec::new());
        for (id, call) in waiting {
            let error = match unsent.contains(&id) {
                true => CallError::not_sent(),
                false => CallError::WorkerExited,
            };
            if looked_for == Some(id) {
                answer(call.on_reply, Err(error), Arrival::AtOnce);
            } else {
                broken.0.push((call.on_reply, error));
            }
        }
        if broken.0.len() > AT_ONCE
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { drop(broken) });
        }
    }

    fn poll_outgoing(&self, context: &mut Context<'_>) -> Poll<Option<Box<LaneRequest>>> {
        let mut state = self.lock();
        // What is still here was not sent, and its callers hear that.
        if !self.is_open() {
            return Poll::Ready(None);
        }
        match state.outbox.pop_front() {
            Some(message) => Poll::Ready(Some(message)),
            None => {
                state.writer = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Calls whose lane has ended: they hear of it when this is dropped, be it by a runtime that ends too.
struct Broken(Vec<(OnReply, CallError)>);

impl Drop for Broken {
    fn drop(&mut self) {
        for (on_reply, error) in self.0.drain(..) {
            answer(on_reply, Err(error), Arrival::Later);
        }
    }
}

/// A panic over one call's answer must not take the other calls on the lane with it.
fn answer(on_reply: OnReply, reply: Reply, arrival: Arrival) {
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| on_reply(reply, arrival)));
}

struct Closing(Arc<Lane>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The request side of the lane.
struct Outgoings(Arc<Lane>);

impl futures_core::Stream for Outgoings {
    type Item = Result<Box<LaneRequest>, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_outgoing(context).map(|message| message.map(Ok))
    }
}
