use std::sync::Arc;
use std::time::Duration;

use rustler::types::atom::Atom;
use rustler::{Encoder, Env, LocalPid, NifResult, ResourceArc, Term};
use snakepit_client::{CallError, Deadlines, Pace, Request, Shape, Sink, Speaker, Stream, Uplink};
use snakepit_protocol::pb::StreamResponse;
use snakepit_protocol::value::ValueError;
use tokio::time::Instant;

use crate::channel::ChannelResource;
use crate::gauge::Gauge;
use crate::handle::{self, Handle, Reading};
use crate::inbox::Inbox;
use crate::mailbox::{self, Dress, Farewell, LastWords, Mailbox};
use crate::reason::{self, CallNames};
use crate::term::Maps;
use crate::{atoms, request, runtime};

/// How a stream is consumed, and who else wants to know of it.
struct Flow<'a> {
    window: usize,
    max_buffer: usize,
    deadlines: Deadlines,
    mode: Mode,
    farewell: Option<(LocalPid, Term<'a>)>,
    gauge: Option<ResourceArc<Gauge>>,
}

/// `{window, max_buffer, timeout_ms | 0, chunk_timeout_ms | 0, mode, {pid, message} | nil, gauge | nil}`:
/// the message tells that the stream is over.
type FlowTuple<'a> =
    (usize, usize, u64, u64, Atom, Option<(LocalPid, Term<'a>)>, Option<ResourceArc<Gauge>>);

/// What becomes of the chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They wait until the consumer takes them.
    Batch,
    /// Each is a message.
    Each,
    /// The final one is the result of the call, and there is no other.
    Result,
}

impl<'a> Flow<'a> {
    fn decode(flow: Term<'a>) -> NifResult<Self> {
        let (window, max_buffer, timeout, silence, mode, farewell, gauge): FlowTuple<'a> =
            flow.decode()?;
        let limit = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
        let deadlines = Deadlines {
            call: limit(timeout).map(|timeout| Instant::now() + timeout),
            chunk: limit(silence),
        };
        let mode = match mode {
            mode if mode == atoms::each() => Mode::Each,
            mode if mode == atoms::result() => Mode::Result,
            _ => Mode::Batch,
        };
        Ok(Flow { window, max_buffer, deadlines, mode, farewell, gauge })
    }
}

fn shape(atom: Atom) -> NifResult<Shape> {
    match atom {
        atom if atom == atoms::server() => Ok(Shape::Server),
        atom if atom == atoms::client() => Ok(Shape::Client),
        atom if atom == atoms::bidi() => Ok(Shape::Bidi),
        _ => Err(rustler::Error::BadArg),
    }
}

/// Starts a stream of the given shape: `:server`, `:client` or `:bidi`. Returns its handle,
/// `{:error, reason}`, or `:yield` when the arguments are too much for one time slice.
#[rustler::nif]
fn stream<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    request: Term<'a>,
    flow: Term<'a>,
    shape: Atom,
) -> NifResult<Term<'a>> {
    start(env, channel, reference, request, flow, shape, true)
}

/// The same on a dirty scheduler, for arguments of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn stream_large<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    request: Term<'a>,
    flow: Term<'a>,
    shape: Atom,
) -> NifResult<Term<'a>> {
    start(env, channel, reference, request, flow, shape, false)
}

fn start<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    request: Term<'a>,
    flow: Term<'a>,
    shape: Atom,
    bounded: bool,
) -> NifResult<Term<'a>> {
    let (flow, shape) = (Flow::decode(flow)?, self::shape(shape)?);
    let request = match request::decode(env, &channel, request, bounded)? {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal),
    };
    let names = CallNames::of(&request, channel.clone());
    names.log_start();
    let Some(runtime) = runtime::handle() else {
        let reason = reason::encode(env, &CallError::Busy, &names, reason::Shape::Stream);
        return Ok((atoms::error(), reason).encode(env));
    };
    let owner = env.pid();
    let dress = if flow.mode == Mode::Each { Dress::Tagged } else { Dress::Plain };
    let farewell = flow.farewell.map(|(pid, message)| Farewell::new(pid, message));
    let speaker = Speaker::new(Mailbox::new(owner, reference, dress, farewell));
    let (stream, flow_control) = prepare(&channel, request, &flow, shape, &speaker);
    let pace = Arc::clone(&flow_control.pace);

    let last_words = LastWords::new(speaker.clone(), names.clone());
    let gauge = flow.gauge;
    let reading = matches!(flow.mode, Mode::Batch).then(|| Reading {
        inbox: Arc::default(),
        names: names.clone(),
        gauge: gauge.clone(),
    });
    let outlet = match &reading {
        Some(reading) => Outlet::Inbox(Arc::clone(&reading.inbox)),
        None if flow.mode == Mode::Each => Outlet::Messages,
        None => Outlet::Result(None),
    };
    let mut sink = TermSink::new(speaker.clone(), names.clone(), outlet, gauge.clone());
    let connection = channel.connection().clone();
    let task = runtime.spawn(async move {
        let last_words = last_words;
        let streamed = stream.run(&mut sink).await;
        if let Err(CallError::WorkerExited) = streamed {
            connection.note_lost(true);
        }
        if let Err(error) = &streamed {
            last_words.names.log(error);
        }
        sink.end(streamed);
        last_words.over();
    });
    if let Some(gauge) = &gauge {
        gauge.attach(pace, speaker.clone(), task.abort_handle(), names);
    }
    let task = task.abort_handle();
    let owned = handle::Stream { speaker, task, flow: flow_control, reading };
    let handle = ResourceArc::new(Handle::Stream(Box::new(owned)));
    // The handle may travel to another process; the stream ends with the one that started it.
    env.monitor(&handle, &owner);
    Ok(handle.encode(env))
}

fn prepare(
    channel: &ChannelResource,
    request: Request,
    flow: &Flow<'_>,
    shape: Shape,
    speaker: &Speaker<Mailbox>,
) -> (Stream, handle::Flow) {
    let connection = channel.connection().clone();
    let peer_keeps_credit = connection.peer_keeps_credit();
    let (window, max_buffer, deadlines) = (flow.window, flow.max_buffer, flow.deadlines);
    if shape == Shape::Server && !peer_keeps_credit {
        let pace = Arc::new(Pace::local(window, max_buffer));
        let stream = Stream::plain(connection.clone(), request, Arc::clone(&pace), deadlines);
        return (stream, handle::Flow { pace, uplink: None, connection });
    }
    let waiting = speaker.clone();
    let uplink = Uplink::new(request, shape, peer_keeps_credit, window, max_buffer, move || {
        mailbox::say_room(&waiting);
    });
    let pace = Arc::new(if peer_keeps_credit {
        Pace::Peer(Arc::clone(&uplink))
    } else {
        Pace::local(window, max_buffer)
    });
    let own = (Arc::clone(&uplink), Arc::clone(&pace));
    let stream = Stream::over_uplink(connection.clone(), own.0, shape, own.1, deadlines);
    (stream, handle::Flow { pace, uplink: Some(uplink), connection })
}

/// Where the chunks go.
enum Outlet {
    /// They wait there for the consumer, which is told that they do.
    Inbox(Arc<Inbox>),
    /// To the consumer, one by one.
    Messages,
    /// The last one is kept.
    Result(Option<StreamResponse>),
}

/// Takes the chunks of a stream, and says how it ends.
struct TermSink {
    speaker: Speaker<Mailbox>,
    names: CallNames,
    outlet: Outlet,
    gauge: Option<ResourceArc<Gauge>>,
    broken: Option<ValueError>,
}

impl Sink for TermSink {
    fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool {
        match &mut self.outlet {
            Outlet::Inbox(inbox) => {
                if inbox.put(chunks) {
                    mailbox::say(&self.speaker, |env| Some(atoms::ready().to_term(env)))
                } else {
                    !self.speaker.is_silent()
                }
            }
            Outlet::Messages => chunks.iter().all(|chunk| self.say_one(chunk)),
            Outlet::Result(result) => {
                *result = chunks.into_iter().next_back();
                true
            }
        }
    }
}

impl TermSink {
    fn new(
        speaker: Speaker<Mailbox>,
        names: CallNames,
        outlet: Outlet,
        gauge: Option<ResourceArc<Gauge>>,
    ) -> Self {
        TermSink { speaker, names, outlet, gauge, broken: None }
    }

    fn say_one(&mut self, chunk: &StreamResponse) -> bool {
        let broken = &mut self.broken;
        let heard = mailbox::say(&self.speaker, |env| match Maps::new(env).chunk(chunk) {
            Ok(map) => Some(mailbox::tagged(env, atoms::chunk(), map)),
            Err(error) => {
                *broken = Some(error);
                None
            }
        });
        heard && self.broken.is_none()
    }

    fn end(&self, streamed: Result<(), CallError>) {
        // What a cancelled call ends with is not how it ended.
        if let Some(gauge) = &self.gauge
            && !self.speaker.is_silent()
        {
            gauge.ended(match &self.broken {
                Some(error) => Err(CallError::Protocol(error.describe("chunk"))),
                None => streamed.clone(),
            });
        }
        mailbox::say_last(&self.speaker, |env| match (&self.broken, &streamed) {
            (Some(error), _) => {
                mailbox::error(env, reason::undecodable(env, &self.names, error, "chunk"))
            }
            (None, Ok(())) => self.done(env),
            (None, Err(error)) => {
                mailbox::error(env, reason::encode(env, error, &self.names, reason::Shape::Stream))
            }
        });
    }

    fn done<'a>(&self, env: Env<'a>) -> Term<'a> {
        let Outlet::Result(Some(response)) = &self.outlet else {
            return atoms::done().to_term(env);
        };
        match Maps::new(env).result(&response.chunk, response.codec()) {
            Ok(result) => mailbox::tagged(env, atoms::ok(), result),
            Err(error) => {
                mailbox::error(env, reason::undecodable(env, &self.names, &error, "result"))
            }
        }
    }
}
