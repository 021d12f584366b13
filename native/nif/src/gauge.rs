//! What others than its consumer may know of a stream: how much has passed, whether the consumer
//! holds it up, and how it ended; and its end from outside.
//!
//! A gauge owns nothing: the stream ends with its handle, whoever looks at the gauge.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustler::{Encoder, Env, Resource, ResourceArc, Term};
use snakepit_client::{CallError, Pace, Speaker};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::mailbox::{self, Mailbox};
use crate::reason::{self, CallNames, Shape};
use crate::{atoms, runtime};

/// Made before the stream, which is attached to it when it starts.
pub(crate) struct Gauge {
    made: Instant,
    stream: Mutex<Option<Attached>>,
    outcome: OnceLock<Result<(), CallError>>,
}

#[derive(Clone)]
struct Attached {
    pace: Arc<Pace>,
    speaker: Speaker<Mailbox>,
    task: AbortHandle,
    names: CallNames,
}

#[rustler::resource_impl]
impl Resource for Gauge {}

impl Gauge {
    pub(crate) fn attach(
        &self,
        pace: Arc<Pace>,
        speaker: Speaker<Mailbox>,
        task: AbortHandle,
        names: CallNames,
    ) {
        let attached = Attached { pace, speaker, task, names };
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(attached);
    }

    fn stream(&self) -> Option<Attached> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first end counts.
    pub(crate) fn ended(&self, outcome: Result<(), CallError>) {
        let _ = self.outcome.set(outcome);
    }

    /// `:open`, `:ok` or `{:error, reason}`. A stream that was cancelled by its consumer is open.
    fn outcome<'a>(&self, env: Env<'a>) -> Term<'a> {
        match (self.outcome.get(), self.stream()) {
            (Some(Err(error)), Some(stream)) => {
                mailbox::error(env, reason::encode(env, error, &stream.names, Shape::Stream))
            }
            (Some(Ok(())), _) => atoms::ok().to_term(env),
            _ => atoms::open().to_term(env),
        }
    }
}

/// In an integer, as Elixir takes it.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[rustler::nif]
fn gauge() -> ResourceArc<Gauge> {
    ResourceArc::new(Gauge {
        made: Instant::now(),
        stream: Mutex::new(None),
        outcome: OnceLock::new(),
    })
}

/// `{{chunks, bytes, sent}, first_us | nil, {stalls, stalled_us, stalled?}, outcome}`: the first chunk
/// is measured from the making of the gauge, and the stalled time includes a stall that lasts.
#[rustler::nif]
fn gauge_read<'a>(env: Env<'a>, gauge: ResourceArc<Gauge>) -> Term<'a> {
    let meter = gauge.stream().map(|stream| stream.pace.meter()).unwrap_or_default();
    // What waits for nobody is not held up.
    let since = if gauge.outcome.get().is_none() { meter.stalled_since } else { None };
    let stalled = meter.stalled + since.map_or(Duration::ZERO, |since| since.elapsed());
    let first = meter.first.map(|first| micros(first.duration_since(gauge.made)));
    let passed = (meter.chunks, meter.bytes, meter.sent);
    let held_up = (meter.stalls, micros(stalled), since.is_some());
    (passed, first, held_up, gauge.outcome(env)).encode(env)
}

/// Ends the stream, whose consumer gets `{:error, :cancelled}`. Returns whether there was one.
#[rustler::nif]
fn gauge_end(gauge: ResourceArc<Gauge>) -> bool {
    let (Some(stream), Some(runtime)) = (gauge.stream(), runtime::handle()) else {
        return false;
    };
    if stream.speaker.is_silent() {
        return false;
    }
    gauge.ended(Err(CallError::Cancelled));
    let Attached { speaker, task, .. } = stream;
    // From a scheduler thread no message can be sent.
    runtime.spawn(async move {
        mailbox::say_last(&speaker, |env| mailbox::error(env, atoms::cancelled().to_term(env)));
        task.abort();
    });
    true
}
