use std::sync::Arc;
use std::time::Duration;

use rustler::types::atom::Atom;
use rustler::{Encoder, Env, LocalPid, NifResult, ResourceArc, Term};
use snakepit_client::{CallError, Credit, Deadlines, Sink, Speaker};
use snakepit_protocol::pb::StreamResponse;
use snakepit_protocol::value::ValueError;
use tokio::time::Instant;

use crate::channel::ChannelResource;
use crate::handle::{Call, Handle};
use crate::mailbox::{self, Dress, Farewell, LastWords, Mailbox};
use crate::reason::{self, CallNames, Shape};
use crate::{atoms, request, runtime, term};

/// How a stream is consumed:
/// `{window, max_buffer, timeout_ms | 0, chunk_timeout_ms | 0, mode}`, and `{pid, message}` as a
/// sixth element when somebody is to be told that the stream is over.
struct Flow<'a> {
    window: usize,
    max_buffer: usize,
    deadlines: Deadlines,
    each: bool,
    farewell: Option<(LocalPid, Term<'a>)>,
}

impl<'a> Flow<'a> {
    fn decode(flow: Term<'a>) -> NifResult<Self> {
        type Plain = (usize, usize, u64, u64, Atom);
        type Watched<'a> = (usize, usize, u64, u64, Atom, (LocalPid, Term<'a>));
        let ((window, max_buffer, timeout, silence, mode), farewell) = match flow.decode::<Plain>()
        {
            Ok(plain) => (plain, None),
            Err(_) => {
                let (window, max_buffer, timeout, silence, mode, farewell): Watched<'a> =
                    flow.decode()?;
                ((window, max_buffer, timeout, silence, mode), Some(farewell))
            }
        };
        let limit = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
        let deadlines = Deadlines {
            call: limit(timeout).map(|timeout| Instant::now() + timeout),
            chunk: limit(silence),
        };
        Ok(Flow { window, max_buffer, deadlines, each: mode == atoms::each(), farewell })
    }
}

/// Starts a server stream. Returns its handle, `{:error, reason}`, or `:yield` when the arguments
/// are too much for one time slice.
#[rustler::nif]
fn stream<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    request: Term<'a>,
    flow: Term<'a>,
) -> NifResult<Term<'a>> {
    start(env, channel, reference, request, flow, true)
}

/// The same on a dirty scheduler, for arguments of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn stream_large<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    request: Term<'a>,
    flow: Term<'a>,
) -> NifResult<Term<'a>> {
    start(env, channel, reference, request, flow, false)
}

fn start<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    request: Term<'a>,
    flow: Term<'a>,
    bounded: bool,
) -> NifResult<Term<'a>> {
    let flow = Flow::decode(flow)?;
    let request = match request::decode(env, &channel, request, bounded)? {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal),
    };
    let names = CallNames {
        command: request.command.clone(),
        request_id: request.request_id.clone(),
        worker_id: channel.worker_id(),
    };
    let Some(runtime) = runtime::handle() else {
        let reason = reason::encode(env, &CallError::Busy, &names, Shape::Stream);
        return Ok((atoms::error(), reason).encode(env));
    };
    let owner = env.pid();
    let dress = if flow.each { Dress::Tagged } else { Dress::Plain };
    let farewell = flow.farewell.map(|(pid, message)| Farewell::new(pid, message));
    let speaker = Speaker::new(Mailbox::new(owner, reference, dress, farewell));
    let credit = Arc::new(Credit::new(flow.window, flow.max_buffer));

    let task = runtime.spawn({
        let (connection, credit) = (channel.connection().clone(), Arc::clone(&credit));
        let last_words = LastWords { speaker: speaker.clone(), names: names.clone() };
        let deadlines = flow.deadlines;
        let mut sink = TermSink { speaker: speaker.clone(), names, each: flow.each, broken: None };
        async move {
            let _last_words = last_words;
            let streamed =
                snakepit_client::stream(&connection, request, &credit, deadlines, &mut sink).await;
            sink.end(streamed);
        }
    });
    let call = Call::Task(task.abort_handle());
    let handle = ResourceArc::new(Handle::new(speaker, call, Some(credit)));
    // The handle may travel to another process; the stream ends with the one that started it.
    env.monitor(&handle, &owner);
    Ok(handle.encode(env))
}

/// Turns chunks into messages.
struct TermSink {
    speaker: Speaker<Mailbox>,
    names: CallNames,
    each: bool,
    broken: Option<ValueError>,
}

impl Sink for TermSink {
    fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool {
        if self.each {
            chunks.iter().all(|chunk| self.say_one(chunk))
        } else {
            self.say_all(&chunks)
        }
    }
}

impl TermSink {
    fn say_one(&mut self, chunk: &StreamResponse) -> bool {
        let broken = &mut self.broken;
        let heard = mailbox::say(&self.speaker, |env| match term::chunk_map(env, chunk) {
            Ok(map) => Some(mailbox::tagged(env, atoms::chunk(), map)),
            Err(error) => {
                *broken = Some(error);
                None
            }
        });
        heard && self.broken.is_none()
    }

    fn say_all(&mut self, chunks: &[StreamResponse]) -> bool {
        let broken = &mut self.broken;
        let heard = mailbox::say(&self.speaker, |env| {
            let mut maps = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                match term::chunk_map(env, chunk) {
                    Ok(map) => maps.push(map),
                    Err(error) => {
                        *broken = Some(error);
                        break;
                    }
                }
            }
            (!maps.is_empty()).then(|| mailbox::tagged(env, atoms::chunks(), maps.encode(env)))
        });
        heard && self.broken.is_none()
    }

    fn end(&self, streamed: Result<(), CallError>) {
        mailbox::say_last(&self.speaker, |env| match (&self.broken, &streamed) {
            (Some(error), _) => {
                mailbox::error(env, reason::undecodable(env, &self.names, error, "chunk"))
            }
            (None, Ok(())) => atoms::done().to_term(env),
            (None, Err(error)) => {
                mailbox::error(env, reason::encode(env, error, &self.names, Shape::Stream))
            }
        });
    }
}
