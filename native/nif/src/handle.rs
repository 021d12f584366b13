use rustler::{Atom, Env, LocalPid, Monitor, Resource, ResourceArc};
use snakepit_client::{CallId, Connection, Pace, Speaker, Uplink};
use std::sync::Arc;
use tokio::task::AbortHandle;

use crate::answer::Answer;
use crate::atoms;
use crate::gauge::{self, Gauge};
use crate::inbox::Inbox;
use crate::mailbox::Mailbox;
use crate::reason::CallNames;

/// Owns one call. Cancelling it, the death of the owner and the collection of the handle are the
/// same thing.
pub(crate) enum Handle {
    /// With one answer.
    Call { way: Way, answer: Arc<Answer> },
    /// With chunks; apart, as it is large and a call is to be small.
    Stream(Box<Stream>),
}

pub(crate) struct Stream {
    pub(crate) speaker: Speaker<Mailbox>,
    pub(crate) task: AbortHandle,
    pub(crate) flow: Flow,
    pub(crate) reading: Option<Reading>,
}

/// What carries a call.
pub(crate) enum Way {
    Lane(CallId),
    Task(AbortHandle),
    /// It is answered.
    Gone,
}

/// What a stream takes from its caller.
pub(crate) struct Flow {
    pub(crate) pace: Arc<Pace>,
    pub(crate) uplink: Option<Arc<Uplink>>,
    pub(crate) connection: Connection,
}

/// What the caller of a stream takes itself.
pub(crate) struct Reading {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) names: CallNames,
    pub(crate) gauge: Option<ResourceArc<Gauge>>,
}

impl Handle {
    /// What waits for the caller of a unary call.
    pub(crate) fn answer(&self) -> Option<&Answer> {
        match self {
            Handle::Call { answer, .. } => Some(answer),
            Handle::Stream(_) => None,
        }
    }

    /// The caller has taken its answer.
    pub(crate) fn taken(&self) {
        if let Handle::Call { way: Way::Lane(_), answer } = self
            && let Some(lane) = answer.lane()
        {
            lane.taken();
        }
    }

    /// What waits for the caller of a stream, if it takes the chunks itself.
    pub(crate) fn reading(&self) -> Option<&Reading> {
        match self {
            Handle::Call { .. } => None,
            Handle::Stream(stream) => stream.reading.as_ref(),
        }
    }

    fn flow(&self) -> Option<&Flow> {
        match self {
            Handle::Call { .. } => None,
            Handle::Stream(stream) => Some(&stream.flow),
        }
    }

    /// The caller's own half of the stream, where it has one.
    pub(crate) fn uplink(&self) -> Option<(&Uplink, &Connection)> {
        let flow = self.flow()?;
        Some((flow.uplink.as_deref()?, &flow.connection))
    }

    /// From now on this process gives the call its chunks.
    pub(crate) fn feed_from(&self, feeder: LocalPid) {
        if let Handle::Stream(stream) = self {
            stream.speaker.say(|mailbox| mailbox.feed_from(feeder));
        }
    }

    // Silence says false when the call is over already: then there is nothing to stop.
    pub(crate) fn cancel(&self) {
        match self {
            Handle::Call { way, answer } if answer.silence() => match way {
                Way::Lane(id) => answer.lane().into_iter().for_each(|lane| lane.cancel(*id)),
                Way::Task(task) => task.abort(),
                Way::Gone => {}
            },
            Handle::Stream(stream) if stream.speaker.silence() => stream.task.abort(),
            Handle::Call { .. } | Handle::Stream(_) => {}
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[rustler::resource_impl]
impl Resource for Handle {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.cancel();
    }
}

/// Stops a call. After this returns nothing more is sent.
#[rustler::nif]
fn cancel(handle: ResourceArc<Handle>) -> Atom {
    handle.cancel();
    atoms::ok()
}

/// Grants a stream credit for `chunks` more. Returns for how many microseconds the consumer has held
/// the worker up, if the worker may send again; 0 if it did not.
#[rustler::nif]
fn ack(handle: ResourceArc<Handle>, chunks: usize) -> u64 {
    let stall = handle.flow().and_then(|flow| flow.pace.acknowledge(chunks));
    stall.map_or(0, gauge::micros)
}
