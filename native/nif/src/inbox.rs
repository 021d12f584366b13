//! Answers that wait for whoever asked: it takes them itself, onto its own heap.
//!
//! Built here, on a thread that is none of the VM's schedulers, every small binary would be taken from
//! memory that all such threads share, and given back by way of yet another thread. That costs more
//! than all else there is to a chunk.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustler::{Encoder, Env, NifResult, ResourceArc, Term};
use snakepit_client::CallError;
use snakepit_protocol::chunk_size;
use snakepit_protocol::pb::{Codec, Entry, StreamResponse};

use crate::handle::{Handle, Reading};
use crate::reason;
use crate::term::{Maps, SHARE_FROM};
use crate::{atoms, mailbox};

/// At most so many chunks are taken at once ...
const BATCH: usize = 64;
/// ... and, but for the last of them, so many bytes: what the consumer is done with is acknowledged
/// and cleared away piece by piece.
const BATCH_BYTES: usize = 1024 * 1024;

/// What may be built in one time slice of a scheduler, as [`effort`] counts it: some 10 ns each.
pub(crate) const SLICE: usize = 32 * 1024;

/// The effort of a key and its place in the map, and the bytes that are copied in one of these.
const ENTRY: usize = 16;
const BYTES_COPIED: usize = 32;

/// The chunks of one stream.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<StreamResponse>,
    /// The consumer knows that there are some.
    told: bool,
}

/// What the consumer takes at once.
struct Batch {
    chunks: Vec<StreamResponse>,
    bytes: usize,
    /// There are more. If not, the consumer will be told of the next.
    more: bool,
}

impl Inbox {
    /// Adds chunks. True when the consumer has to be told.
    pub(crate) fn put(&self, chunks: Vec<StreamResponse>) -> bool {
        let mut state = self.lock();
        state.chunks.extend(chunks);
        !std::mem::replace(&mut state.told, true)
    }

    /// Takes some, or `None` when the first alone is too much for one time slice and `bounded`.
    fn take(&self, bounded: bool) -> Option<Batch> {
        let mut state = self.lock();
        let mut batch = Batch { chunks: Vec::new(), bytes: 0, more: false };
        let mut spent = 0;
        while let Some(chunk) = state.chunks.front() {
            spent += effort(&chunk.chunk, chunk.codec());
            if bounded && spent > SLICE {
                if batch.chunks.is_empty() {
                    return None;
                }
                break;
            }
            batch.bytes += chunk_size(&chunk.chunk);
            batch.chunks.extend(state.chunks.pop_front());
            if batch.chunks.len() == BATCH || batch.bytes >= BATCH_BYTES {
                break;
            }
        }
        batch.more = !state.chunks.is_empty();
        state.told = batch.more;
        Some(batch)
    }

    /// Puts chunks back that were taken last.
    fn put_back(&self, chunks: impl DoubleEndedIterator<Item = StreamResponse>) {
        let mut state = self.lock();
        state.told = true;
        chunks.rev().for_each(|chunk| state.chunks.push_front(chunk));
    }

    // Nothing of the VM runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it takes to build the values: about as much as there are bytes to look at, each of which may
/// be a value. Of a binary they are only copied, and when it is large not even that.
pub(crate) fn effort(entries: &[Entry], codec: Codec) -> usize {
    let effort = |entry: &Entry| match entry.value.first() {
        Some(first) if codec == Codec::Msgpack && !is_binary(*first) => entry.value.len(),
        _ => entry.value.len().min(SHARE_FROM) / BYTES_COPIED,
    };
    entries.iter().map(|entry| ENTRY + effort(entry)).sum()
}

/// Whether a MessagePack object is one binary, or a text.
fn is_binary(first: u8) -> bool {
    matches!(first, 0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb)
}

/// Chunks that wait for the caller: `{maps, bytes, more?}`, `{:error, reason}` when the next has no
/// form in Elixir, or `:yield` when it is too much for one time slice. Unless there are more, `:ready`
/// comes with the next.
#[rustler::nif]
fn take<'a>(env: Env<'a>, handle: ResourceArc<Handle>) -> NifResult<Term<'a>> {
    taken(env, &handle, true)
}

/// The same on a dirty scheduler, for chunks of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn take_large<'a>(env: Env<'a>, handle: ResourceArc<Handle>) -> NifResult<Term<'a>> {
    taken(env, &handle, false)
}

fn taken<'a>(env: Env<'a>, handle: &Handle, bounded: bool) -> NifResult<Term<'a>> {
    let Reading { inbox, names, gauge } = handle.reading().ok_or(rustler::Error::BadArg)?;
    let Some(Batch { chunks, mut bytes, mut more }) = inbox.take(bounded) else {
        return Ok(atoms::yield_().encode(env));
    };
    let mut made = Maps::new(env);
    let mut maps = Vec::with_capacity(chunks.len());
    let mut rest = chunks.into_iter();
    while let Some(chunk) = rest.next() {
        match made.chunk(&chunk) {
            Ok(map) => maps.push(map),
            Err(error) if maps.is_empty() => {
                if let Some(gauge) = gauge {
                    gauge.ended(Err(CallError::Protocol(error.describe("chunk"))));
                }
                handle.cancel();
                return Ok(mailbox::error(env, reason::undecodable(env, names, &error, "chunk")));
            }
            Err(_) => {
                // Those before it are given first.
                let left = std::iter::once(chunk).chain(rest);
                let left: Vec<_> = left.collect();
                bytes -= left.iter().map(|chunk| chunk_size(&chunk.chunk)).sum::<usize>();
                more = true;
                inbox.put_back(left.into_iter());
                break;
            }
        }
    }
    Ok((maps, bytes, more).encode(env))
}
