use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use snakepit_protocol::pb::{
    Entry, HalfClose, StreamChunk, StreamRequest, StreamStart, stream_request,
};
use snakepit_protocol::{Credit, chunk_size};
use tokio::sync::Notify;
use tonic::Status;

use crate::meter::Account;
use crate::{Meter, Request, Shape};

/// What became of a chunk that was given to an [`Uplink`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Taken, and there is room for the next.
    Room,
    /// Taken; `on_room` tells when the next may come.
    Full,
    /// Not taken: the call is over, and its answer says why.
    Over,
}

/// The caller's half of an exchange: the start, then acknowledgements of what was received, and
/// the caller's own chunks under credit. Nothing here waits.
pub struct Uplink {
    /// Whether the peer acknowledges chunks. If not, a chunk is accounted for until HTTP/2 takes
    /// it, and the half-close is HTTP/2's own.
    peer_keeps_credit: bool,
    on_room: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
    acknowledged: Notify,
}

struct State {
    start: Option<Box<StreamStart>>,
    acknowledged: usize,
    /// What the peer may still send.
    granted: Account,
    sent: u64,
    chunks: VecDeque<Vec<Entry>>,
    ending: Option<Ending>,
    /// No chunk is taken any more, be the ending sent or not.
    ended: bool,
    credit: Credit,
    starved: bool,
    over: bool,
    cancelled: bool,
    writer: Option<Waker>,
    /// There is a request, not ended yet, that a cancel has to reset.
    sending: bool,
}

enum Ending {
    HalfClose,
    Abort(String),
}

impl fmt::Debug for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Uplink")
            .field("chunks", &state.chunks.len())
            .field("over", &state.over)
            .finish_non_exhaustive()
    }
}

impl Uplink {
    /// The request side of a call with `request`. `window` and `max_buffer` hold for both
    /// directions; `on_room` is called from a task of the runtime after [`Sent::Full`].
    pub fn new(
        request: Request,
        shape: Shape,
        peer_keeps_credit: bool,
        window: usize,
        max_buffer: usize,
        on_room: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let mut start = request.into_start();
        start.set_shape(shape.into());
        if peer_keeps_credit {
            start.window = u32::try_from(window).unwrap_or(u32::MAX);
            start.max_buffer = max_buffer as u64;
        }
        Arc::new(Uplink {
            peer_keeps_credit,
            on_room: Box::new(on_room),
            state: Mutex::new(State {
                start: Some(Box::new(start)),
                acknowledged: 0,
                granted: Account::new(window, max_buffer),
                sent: 0,
                chunks: VecDeque::new(),
                ending: None,
                ended: false,
                credit: Credit::new(window, max_buffer),
                starved: false,
                over: false,
                cancelled: false,
                writer: None,
                sending: false,
            }),
            acknowledged: Notify::new(),
        })
    }

    pub(crate) fn peer_keeps_credit(&self) -> bool {
        self.peer_keeps_credit
    }

    /// Gives the peer a chunk.
    pub fn send(&self, chunk: Vec<Entry>) -> Sent {
        let size = chunk_size(&chunk);
        let mut state = self.lock();
        if state.over || state.ended {
            return Sent::Over;
        }
        state.credit.spend(size);
        state.sent += 1;
        state.chunks.push_back(chunk);
        state.starved = !state.credit.available();
        let sent = if state.starved { Sent::Full } else { Sent::Room };
        wake(state);
        sent
    }

    /// No chunk follows.
    pub fn half_close(&self) {
        self.end(Ending::HalfClose);
    }

    /// No chunk follows, because whatever made them failed.
    pub fn abort(&self, reason: String) {
        self.end(Ending::Abort(reason));
    }

    /// The consumer is done with `chunks` more of the peer's.
    pub(crate) fn acknowledge(&self, chunks: usize) -> Option<Duration> {
        let mut state = self.lock();
        state.acknowledged = state.acknowledged.saturating_add(chunks);
        let stall = state.granted.acknowledge(chunks);
        wake(state);
        self.acknowledged.notify_one();
        stall
    }

    /// What has passed so far, in both directions.
    pub(crate) fn meter(&self) -> Meter {
        let state = self.lock();
        Meter { sent: state.sent, ..state.granted.meter() }
    }

    /// A chunk of the peer's has come.
    pub(crate) fn received(&self, bytes: usize) {
        self.lock().granted.spend(bytes);
    }

    /// Waits while the consumer holds all the peer may send. One task waits at a time.
    pub(crate) async fn peer_may_send(&self) {
        // `Notify` keeps one permit, so what comes between the look and the wait is not lost.
        while !self.lock().granted.available() {
            self.acknowledged.notified().await;
        }
    }

    /// The peer is done with `chunks` more of ours.
    pub(crate) fn acknowledged(&self, chunks: usize) {
        if self.lock().refresh(chunks) {
            (self.on_room)();
        }
    }

    /// The request side as tonic wants it.
    pub(crate) fn messages(self: &Arc<Self>) -> Messages {
        self.lock().sending = true;
        Messages(Arc::clone(self))
    }

    /// The call is over: nothing more is sent.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.sending = false;
        Self::finish(state);
    }

    /// The call is cancelled, unless it is over: nothing more is sent, not even the end, which the
    /// peer would take for the end of the input.
    pub(crate) fn cancel(&self) {
        let mut state = self.lock();
        state.cancelled |= std::mem::take(&mut state.sending);
        Self::finish(state);
    }

    fn finish(mut state: MutexGuard<'_, State>) {
        state.over = true;
        state.start = None;
        state.chunks.clear();
        wake(state);
    }

    fn end(&self, ending: Ending) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.ended, true) {
            state.ending = Some(ending);
            wake(state);
        }
    }

    fn poll_message(
        self: &Arc<Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<StreamRequest, Status>>> {
        use stream_request::Message;
        let mut state = self.lock();
        let message = if state.cancelled {
            return Poll::Ready(Some(Err(reset())));
        } else if let Some(start) = state.start.take() {
            Message::Start(*start)
        } else if state.over {
            return Poll::Ready(None);
        } else if self.peer_keeps_credit && state.acknowledged > 0 {
            let acknowledged = std::mem::take(&mut state.acknowledged);
            Message::Ack(u32::try_from(acknowledged).unwrap_or(u32::MAX))
        } else if let Some(chunk) = state.chunks.pop_front() {
            if !self.peer_keeps_credit && state.refresh(1) {
                // Not here: this may be the thread of a caller, who sends what else there is to send.
                let uplink = Arc::clone(self);
                tokio::spawn(async move { (uplink.on_room)() });
            }
            Message::Chunk(StreamChunk { chunk })
        } else {
            match state.ending.take() {
                // Acknowledgements follow either, if the peer knows them.
                Some(Ending::Abort(reason)) => {
                    state.over = !self.peer_keeps_credit;
                    Message::Abort(reason)
                }
                Some(Ending::HalfClose) if self.peer_keeps_credit => {
                    Message::HalfClose(HalfClose {})
                }
                Some(Ending::HalfClose) => return Poll::Ready(None),
                None => {
                    state.writer = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        Poll::Ready(Some(Ok(StreamRequest { message: Some(message) })))
    }

    // Nothing awaits and nothing foreign runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// So many chunks are done with. Returns whether there is room again after there was none.
    fn refresh(&mut self, chunks: usize) -> bool {
        self.credit.acknowledge(chunks);
        let refreshed = self.starved && self.credit.available();
        self.starved &= !refreshed;
        refreshed
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let writer = state.writer.take();
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// What resets a request as cancelled: hyper looks for a reason among the sources of an error.
fn reset() -> Status {
    let mut status = Status::cancelled("the caller has gone");
    status.set_source(Arc::new(h2::Error::from(h2::Reason::CANCEL)));
    status
}

/// The request side of a call.
pub(crate) struct Messages(Arc<Uplink>);

impl futures_core::Stream for Messages {
    type Item = Result<StreamRequest, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_message(context)
    }
}
