mod carrier;
mod crowd;
mod linger;
mod parts;
mod sending;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use foldhash::HashMap;
use prost::Message as _;
use snakepit_protocol::pb::{ExecuteResponse, LaneCancel, LaneRequest, lane_request};
use snakepit_protocol::{LANE_MESSAGE_LIMIT, MESSAGE_OVERHEAD};

use crate::connection::Closer;
use crate::driver::Driver;
use crate::{CallError, Connection, Request};
use crowd::Crowd;
use linger::{Company, InUse, Linger};
use parts::Parts;
use sending::INLINE;

/// So many calls may be on a lane at once, sent or not. Far above any worker's capacity: it
/// bounds memory, not concurrency.
const MAX_CALLS: usize = 16_384;

/// So many requests are sent together at the latest.
const TOGETHER: usize = 8;

/// Bytes that an id takes in a message.
const MAX_ID_SIZE: usize = 11;

type Reply = Result<ExecuteResponse, CallError>;
type OnReply = Box<dyn FnOnce(Reply, Arrival) + Send>;

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
    /// Written under the lock, read by whoever chooses a way for a call.
    open: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// While there are calls.
    in_use: Option<InUse>,
    next_id: u64,
    waiting: HashMap<u64, Waiting>,
    outbox: VecDeque<Box<LaneRequest>>,
    /// Bytes of the requests that were put into the outbox since it was empty.
    gathered: usize,
    linger: Linger,
    writer: Option<Waker>,
}

struct Waiting {
    on_reply: OnReply,
    /// Whoever is told takes the answer later.
    takes: bool,
    parts: Parts,
}

/// The outbox is to be sent.
struct Due<'a> {
    state: MutexGuard<'a, State>,
    company: Company,
}

/// How an answer comes to a caller that takes it; see [`Lane::call_and_take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// While the call is made: its caller is there.
    AtOnce,
    /// Its caller has to be told.
    Later,
}

/// A call on a lane, for a caller that takes the answer.
#[derive(Debug)]
pub enum Placed {
    /// The answer came [`AtOnce`](Arrival::AtOnce).
    Answered,
    /// It comes later.
    Waits(CallId),
}

/// Names a call on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId(u64);

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Lane")
            .field("open", &self.is_open())
            .field("waiting", &state.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Lane {
    pub(crate) fn new(connection: &Connection) -> Self {
        let state = State {
            in_use: None,
            next_id: 1,
            waiting: HashMap::default(),
            outbox: VecDeque::new(),
            gathered: 0,
            linger: Linger::default(),
            writer: None,
        };
        Lane {
            max_message_size: connection.max_message_size(),
            connection: Arc::downgrade(connection.closer()),
            driver: Arc::downgrade(connection.driver()),
            crowd: Crowd::default(),
            open: AtomicBool::new(true),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Takes no more calls. Those that it has are ended by its task.
    pub(crate) fn refuse(&self) {
        let _state = self.lock();
        self.open.store(false, Ordering::Release);
    }

    /// Whether a request is small enough not to hold up the others.
    pub fn carries(request: &Request) -> bool {
        request.size() <= LANE_MESSAGE_LIMIT
    }

    /// Puts a call on the lane; `on_reply` is called exactly once, by the runtime or by whoever makes
    /// another call, unless it is cancelled. Never waits.
    pub fn call(
        &self,
        request: Request,
        on_reply: impl FnOnce(Reply) + Send + 'static,
    ) -> Result<CallId, CallError> {
        let (id, due) = self.put(request, false, Box::new(|reply, _| on_reply(reply)))?;
        match due {
            Some(Due { state, company: Company::None }) => self.send(state),
            // Of callers who are not counted the runtime gathers those that come together.
            Some(Due { state, .. }) => wake(state),
            None => {}
        }
        Ok(id)
    }

    /// The same for a caller that is only told by `on_reply`. When it has taken its answer it says so
    /// by [`taken`](Self::taken).
    ///
    /// Waits for nothing; but when all callers wait, for handlers that lately took about nothing, the
    /// last looks for answers for some microseconds instead of having a thread woken for that.
    pub fn call_and_take(
        &self,
        request: Request,
        on_reply: impl FnOnce(Reply, Arrival) + Send + 'static,
    ) -> Result<Placed, CallError> {
        let (id, due) = self.put(request, true, Box::new(on_reply))?;
        let Some(Due { mut state, company }) = due else {
            return Ok(Placed::Waits(id));
        };
        if state.linger.is_due(company) && state.gathered <= INLINE {
            if self.send_and_linger(state, id.0, company) {
                return Ok(Placed::Answered);
            }
        } else {
            self.send(state);
        }
        Ok(Placed::Waits(id))
    }

    /// Puts a call into the outbox, and says whether that is to be sent: it may wait for others.
    fn put(
        &self,
        request: Request,
        takes: bool,
        on_reply: OnReply,
    ) -> Result<(CallId, Option<Due<'_>>), CallError> {
        let mut message = Box::new(request.into_lane_request(0));
        // What cannot be sent would break the lane, and with it every other call.
        let limit = self.max_message_size.saturating_add(MESSAGE_OVERHEAD);
        let size = message.encoded_len() + MAX_ID_SIZE;
        if size > limit {
            return Err(CallError::TooLarge(format!("a request of over {limit} bytes")));
        }
        let mut state = self.lock();
        if !self.is_open() {
            return Err(CallError::not_sent());
        }
        if state.waiting.len() >= MAX_CALLS {
            return Err(CallError::Busy);
        }
        let first = state.waiting.is_empty();
        let company = match self.crowd.is_expected() {
            true => Company::Comes,
            false if first => Company::None,
            false => Company::Waits,
        };
        if first {
            let connection = self.connection.upgrade().ok_or_else(CallError::not_sent)?;
            state.in_use = Some(InUse::new(connection));
        }
        let id = state.next_id;
        state.next_id += 1;
        message.id = id;
        state.waiting.insert(id, Waiting { on_reply, takes, parts: Parts::default() });
        state.gathered = if state.outbox.is_empty() { size } else { state.gathered + size };
        state.outbox.push_back(message);
        state.linger.comes();
        let due = company != Company::Comes || state.outbox.len() >= TOGETHER;
        Ok((CallId(id), due.then_some(Due { state, company })))
    }

    /// A caller that was told of its answer has taken it.
    pub fn taken(&self) {
        // Who puts a request and still expects this caller holds the lock until it is seen here.
        if !self.crowd.shrink() {
            return;
        }
        let mut state = self.lock();
        if !state.waiting.is_empty() {
            state.linger.leaves();
        }
        match (state.outbox.is_empty(), state.linger.is_shared()) {
            (true, _) => {}
            (false, true) => self.send_and_leave(state),
            (false, false) => self.send(state),
        }
    }

    /// Stops a call: its answer goes nowhere, and the worker is told.
    pub fn cancel(&self, CallId(id): CallId) {
        let mut state = self.lock();
        // Dropped after the lock is: what it owns may take locks of its own.
        let Some(_removed) = state.remove(id) else {
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
    }

    // Nothing awaits and nothing foreign runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A call that waits no more; if it was the last, the lane is in use no more.
    fn remove(&mut self, id: u64) -> Option<(Waiting, Option<InUse>)> {
        let removed = self.waiting.remove(&id)?;
        if !self.waiting.is_empty() {
            return Some((removed, None));
        }
        self.linger.rests();
        Some((removed, self.in_use.take()))
    }

    fn parts(&mut self, id: u64) -> Option<&mut Parts> {
        self.waiting.get_mut(&id).map(|waiting| &mut waiting.parts)
    }

    fn arrival(&mut self, id: u64) -> Arrival {
        if self.linger.finds(id) { Arrival::AtOnce } else { Arrival::Later }
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let writer = state.writer.take();
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}
