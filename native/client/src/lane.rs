use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use foldhash::{HashMap, HashSet};
use prost::Message as _;
use snakepit_protocol::pb::{
    ExecuteResponse, LaneCancel, LanePart, LaneReply, LaneRequest, lane_reply, lane_request,
};
use snakepit_protocol::{LANE_MESSAGE_LIMIT, MESSAGE_OVERHEAD};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::connection::Closer;
use crate::crowd::{Crowd, PATIENCE};
use crate::driver::Driver;
use crate::parts::Parts;
use crate::rpc::Method;
use crate::unary::accept;
use crate::{CallError, Connection, Request};

/// So many calls may be on a lane at once, sent or not. Far above any worker's capacity: it
/// bounds memory, not concurrency.
const MAX_CALLS: usize = 16_384;

/// So many requests are sent together at the latest.
const TOGETHER: usize = 8;

/// Requests of at most so many bytes are sent by their callers, others by the runtime.
const INLINE: usize = 64 * 1024;

/// Bytes that an id takes in a message.
const MAX_ID_SIZE: usize = 11;

type OnReply = Box<dyn FnOnce(Result<ExecuteResponse, CallError>) + Send>;

/// Many unary calls on one bidirectional gRPC stream, told apart by id.
///
/// A call costs no headers, no HTTP/2 stream and no task of its own. Requests wait in an outbox
/// until HTTP/2 takes them; one reader hands the replies to whoever waits for them. When the lane
/// breaks, every call on it gets [`CallError::WorkerExited`], or [`CallError::Unavailable`] if it was
/// not sent yet.
///
/// Many callers at once share system calls and wake-ups, which cost more than all else: answers that
/// came together are taken soon after each other, and those who take them often call again. So a
/// request waits for callers that are expected, and the last of them sends what has gathered.
pub struct Lane {
    max_message_size: usize,
    connection: Weak<Closer>,
    driver: Weak<Driver>,
    crowd: Crowd,
    state: Mutex<State>,
}

struct State {
    open: bool,
    next_id: u64,
    waiting: HashMap<u64, Waiting>,
    outbox: VecDeque<Box<LaneRequest>>,
    /// Bytes of the requests that were put into the outbox since it was empty.
    gathered: usize,
    writer: Option<Waker>,
}

struct Waiting {
    on_reply: OnReply,
    /// Whoever is told takes the answer later.
    takes: bool,
    parts: Parts,
    /// The lane ends with the last handle of its connection, but not before its calls.
    _connection: Arc<Closer>,
}

/// Names a call on a lane, to cancel it.
#[derive(Debug)]
pub struct Ticket {
    lane: Arc<Lane>,
    id: u64,
}

impl Ticket {
    /// Its caller has taken the answer, see [`Lane::call_and_take`].
    pub fn taken(&self) {
        self.lane.taken();
    }

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
    pub(crate) fn new(connection: &Connection) -> Self {
        let state = State {
            open: true,
            next_id: 1,
            waiting: HashMap::default(),
            outbox: VecDeque::new(),
            gathered: 0,
            writer: None,
        };
        Lane {
            max_message_size: connection.max_message_size(),
            connection: Arc::downgrade(connection.closer()),
            driver: Arc::downgrade(connection.driver()),
            crowd: Crowd::default(),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Takes no more calls. Those that it has are ended by its task.
    pub(crate) fn refuse(&self) {
        self.lock().open = false;
    }

    /// Whether a request is small enough not to hold up the others.
    pub fn carries(request: &Request) -> bool {
        request.size() <= LANE_MESSAGE_LIMIT
    }

    /// Puts a call on the lane; `on_reply` is called exactly once, from the lane's task, unless
    /// the ticket is cancelled. Never waits.
    pub fn call(
        self: &Arc<Self>,
        request: Request,
        on_reply: impl FnOnce(Result<ExecuteResponse, CallError>) + Send + 'static,
    ) -> Result<Ticket, CallError> {
        self.put(request, false, Box::new(on_reply))
    }

    /// The same for a caller that is only told by `on_reply`. When it has taken its answer it says so
    /// by [`Ticket::taken`].
    pub fn call_and_take(
        self: &Arc<Self>,
        request: Request,
        on_reply: impl FnOnce(Result<ExecuteResponse, CallError>) + Send + 'static,
    ) -> Result<Ticket, CallError> {
        self.put(request, true, Box::new(on_reply))
    }

    fn put(
        self: &Arc<Self>,
        request: Request,
        takes: bool,
        on_reply: OnReply,
    ) -> Result<Ticket, CallError> {
        let mut message = Box::new(request.into_lane_request(0));
        // What cannot be sent would break the lane, and with it every other call.
        let limit = self.max_message_size.saturating_add(MESSAGE_OVERHEAD);
        let size = message.encoded_len() + MAX_ID_SIZE;
        if size > limit {
            return Err(CallError::TooLarge(format!("a request of over {limit} bytes")));
        }
        let connection = self.connection.upgrade().ok_or_else(CallError::not_sent)?;
        let mut state = self.lock();
        if !state.open {
            return Err(CallError::not_sent());
        }
        if state.waiting.len() >= MAX_CALLS {
            return Err(CallError::Busy);
        }
        let id = state.next_id;
        state.next_id += 1;
        message.id = id;
        let (parts, alone) = (Parts::default(), state.waiting.is_empty());
        state.waiting.insert(id, Waiting { on_reply, takes, parts, _connection: connection });
        state.gathered = if state.outbox.is_empty() { size } else { state.gathered + size };
        state.outbox.push_back(message);
        if !self.crowd.is_expected() || state.outbox.len() >= TOGETHER {
            // Of callers who are not counted the runtime gathers those that come together.
            if takes || alone { self.send(state) } else { wake(state) }
        }
        Ok(Ticket { lane: Arc::clone(self), id })
    }

    /// Sends what has gathered, here if it is little.
    fn send(&self, state: MutexGuard<'_, State>) {
        match self.driver.upgrade() {
            Some(driver) if state.gathered <= INLINE => driver.wake_inline(|| wake(state)),
            _ => wake(state),
        }
    }

    fn taken(&self) {
        // Who puts a request and still expects this caller holds the lock until it is seen here.
        if self.crowd.shrink() {
            self.send_gathered();
        }
    }

    fn send_gathered(&self) {
        let state = self.lock();
        if !state.outbox.is_empty() {
            self.send(state);
        }
    }

    fn cancel(&self, id: u64) {
        let mut state = self.lock();
        // Dropped after the lock is: what it owns may take locks of its own.
        let Some(waiting) = state.waiting.remove(&id) else {
            return;
        };
        match state.outbox.iter().position(|message| message.id == id) {
            Some(index) => {
                state.outbox.remove(index);
            }
            // At most one per call that was sent: the outbox stays bounded by MAX_CALLS.
            None => {
                let message = Some(lane_request::Message::Cancel(LaneCancel {}));
                state.outbox.push_back(Box::new(LaneRequest { id, message }));
            }
        }
        wake(state);
        drop(waiting);
    }

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

    fn deliver(&self, reply: LaneReply) {
        let id = reply.id;
        let result = match reply.message {
            Some(lane_reply::Message::Response(response)) => accept(response),
            Some(lane_reply::Message::Part(part)) => match self.gather(id, &part) {
                Some(whole) => whole.and_then(accept),
                None => return,
            },
            None => Err(CallError::Protocol("a reply without a message".to_owned())),
        };
        // No entry: the call was cancelled while its reply was on the way.
        let waiting = self.lock().waiting.remove(&id);
        if let Some(waiting) = waiting {
            if waiting.takes {
                self.crowd.grow();
            }
            answer(waiting.on_reply, result);
        }
    }

    /// Adds a part to a reply. Gives the reply once it is complete.
    fn gather(&self, id: u64, part: &LanePart) -> Option<Result<ExecuteResponse, CallError>> {
        // Out of the lock, for which callers wait on threads that must not, while it grows.
        let mut parts = std::mem::take(&mut self.lock().waiting.get_mut(&id)?.parts);
        let whole = parts.add(part, self.max_message_size);
        self.lock().waiting.get_mut(&id)?.parts = parts;
        whole
    }

    fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        let outbox = std::mem::take(&mut state.outbox);
        let waiting = std::mem::take(&mut state.waiting);
        // The sender of requests has to learn of it: HTTP/2 ends a stream with both its halves.
        wake(state);
        let unsent: HashSet<u64> = outbox.iter().map(|message| message.id).collect();
        for (id, call) in waiting {
            let error = match unsent.contains(&id) {
                true => CallError::not_sent(),
                false => CallError::WorkerExited,
            };
            answer(call.on_reply, Err(error));
        }
    }

    fn poll_outgoing(&self, context: &mut Context<'_>) -> Poll<Option<Box<LaneRequest>>> {
        let mut state = self.lock();
        // What is still here was not sent, and its callers hear that.
        if !state.open {
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

    // Nothing awaits and nothing foreign runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let writer = state.writer.take();
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// A panic over one call's answer must not take the other calls on the lane with it.
fn answer(on_reply: OnReply, result: Result<ExecuteResponse, CallError>) {
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| on_reply(result)));
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
