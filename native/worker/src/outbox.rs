use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use snakepit_protocol::Credit;
use tonic::Status;

use crate::leadership::Leadership;

/// Waits here before HTTP/2 takes it: at most so many messages ...
const MAX_MESSAGES: usize = 64;
/// ... and so many bytes, or one message.
const MAX_BYTES: usize = 256 * 1024;

/// Messages on their way from a handler to one gRPC stream: what makes a fast Python generator
/// wait for a slow consumer.
///
/// The producer is woken when half the room is free again, so that it fills it in one hold of the
/// GIL instead of one chunk at a time.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    leadership: Arc<Leadership>,
    state: Mutex<State<T>>,
    room: Condvar,
}

struct State<T> {
    messages: VecDeque<(T, usize)>,
    bytes: usize,
    credit: Credit,
    finished: bool,
    gone: bool,
    /// The producer waits for room: only then is it worth a system call to wake it.
    waiting: bool,
    reader: Option<Waker>,
    on_room: Option<Box<dyn FnOnce() + Send>>,
}

impl<T> std::fmt::Debug for State<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}

/// Whether a message would be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Some,
    None,
    /// The peer has gone.
    Gone,
}

impl<T> State<T> {
    fn full(&self) -> bool {
        self.messages.len() >= MAX_MESSAGES || self.bytes >= MAX_BYTES || !self.credit.available()
    }

    fn half_empty(&self) -> bool {
        self.messages.len() <= MAX_MESSAGES / 2
            && self.bytes <= MAX_BYTES / 2
            && self.credit.available()
    }
}

impl<T> Outbox<T> {
    /// `credit` is what the peer has granted.
    pub(crate) fn new(credit: Credit, leadership: &Arc<Leadership>) -> Arc<Self> {
        let state = State {
            messages: VecDeque::new(),
            bytes: 0,
            credit,
            finished: false,
            gone: false,
            waiting: false,
            reader: None,
            on_room: None,
        };
        let leadership = Arc::clone(leadership);
        Arc::new(Outbox { leadership, state: Mutex::new(state), room: Condvar::new() })
    }

    /// Whether there is room. It only grows until the next [`put`](Self::put): a stream has one
    /// producer.
    pub(crate) fn room(&self) -> Room {
        match self.lock() {
            state if state.gone => Room::Gone,
            state if state.full() => Room::None,
            _ => Room::Some,
        }
    }

    /// Takes a chunk of `bytes` on credit. Returns false when the peer has gone.
    pub(crate) fn put(&self, chunk: T, bytes: usize) -> bool {
        let mut state = self.lock();
        state.credit.spend(bytes);
        self.push(state, chunk, bytes)
    }

    /// Takes a message that needs no credit and no room, because there are few of its kind.
    /// Returns false when the peer has gone.
    pub(crate) fn put_aside(&self, message: T) -> bool {
        self.push(self.lock(), message, 0)
    }

    /// The peer is done with `chunks` more.
    pub(crate) fn acknowledge(&self, chunks: usize) {
        let mut state = self.lock();
        state.credit.acknowledge(chunks);
        self.tell_producer(state);
    }

    fn push(&self, mut state: MutexGuard<'_, State<T>>, message: T, bytes: usize) -> bool {
        if state.gone {
            return false;
        }
        state.messages.push_back((message, bytes));
        state.bytes += bytes;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            self.leadership.wake(reader);
        }
        true
    }

    /// Blocks until there is room. Returns false when the peer has gone. Not to be called with
    /// the GIL held.
    pub(crate) fn wait_for_room(&self) -> bool {
        let mut state = self.lock();
        while !state.gone && !state.half_empty() {
            state.waiting = true;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.gone
    }

    /// Calls `callback` once, when there is room or the peer has gone; at once if that is now.
    pub(crate) fn on_room(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.gone || !state.full() {
            drop(state);
            callback();
        } else {
            state.on_room = Some(Box::new(callback));
        }
    }

    /// No message follows: the stream ends when those within are read.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.finished = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            self.leadership.wake(reader);
        }
    }

    /// The peer reads no more.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.gone = true;
        let messages = std::mem::take(&mut state.messages);
        let on_room = state.on_room.take();
        drop(state);
        drop(messages);
        self.room.notify_all();
        if let Some(on_room) = on_room {
            on_room();
        }
    }

    fn poll_message(&self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.lock();
        let Some((message, bytes)) = state.messages.pop_front() else {
            if state.finished {
                return Poll::Ready(None);
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        state.bytes -= bytes;
        self.tell_producer(state);
        Poll::Ready(Some(message))
    }

    fn tell_producer(&self, mut state: MutexGuard<'_, State<T>>) {
        if state.half_empty() {
            let on_room = state.on_room.take();
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            if waiting {
                self.room.notify_one();
            }
            if let Some(on_room) = on_room {
                on_room();
            }
        }
    }

    // Nothing awaits under the lock, and callbacks run after it.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading end, as tonic wants it. Dropping it runs `on_drop` and abandons the outbox: a handler
/// that wakes and ends for that is one of a call that is cancelled by then.
pub(crate) struct Outgoing<T> {
    outbox: Arc<Outbox<T>>,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl<T> Outgoing<T> {
    pub(crate) fn new(outbox: Arc<Outbox<T>>, on_drop: impl FnOnce() + Send + 'static) -> Self {
        Outgoing { outbox, on_drop: Some(Box::new(on_drop)) }
    }
}

impl<T> futures_core::Stream for Outgoing<T> {
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.outbox.poll_message(context).map(|message| message.map(Ok))
    }
}

impl<T> Drop for Outgoing<T> {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
        self.outbox.abandon();
    }
}
