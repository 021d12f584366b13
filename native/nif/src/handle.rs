use rustler::{Atom, Env, LocalPid, Monitor, Resource, ResourceArc};
use snakepit_client::{Connection, Pace, Speaker, Ticket, Uplink};
use std::sync::Arc;
use tokio::task::AbortHandle;

use crate::atoms;
use crate::gauge::{self, Gauge};
use crate::inbox::Inbox;
use crate::mailbox::Mailbox;
use crate::reason::CallNames;

/// Owns one call. Cancelling it, the death of the owner and the collection of the handle are the
/// same thing.
pub(crate) struct Handle {
    speaker: Speaker<Mailbox>,
    call: Call,
    flow: Option<Flow>,
    reading: Option<Reading>,
}

/// What a caller takes itself.
pub(crate) struct Reading {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) names: CallNames,
    pub(crate) gauge: Option<ResourceArc<Gauge>>,
}

/// What a stream takes from its caller.
pub(crate) struct Flow {
    pub(crate) pace: Arc<Pace>,
    pub(crate) uplink: Option<Arc<Uplink>>,
    pub(crate) connection: Connection,
}

/// Where the call runs.
pub(crate) enum Call {
    Lane(Ticket),
    Task(AbortHandle),
}

impl Handle {
    pub(crate) fn unary(speaker: Speaker<Mailbox>, call: Call) -> Self {
        Handle { speaker, call, flow: None, reading: None }
    }

    pub(crate) fn stream(
        speaker: Speaker<Mailbox>,
        call: Call,
        flow: Flow,
        reading: Option<Reading>,
    ) -> Self {
        Handle { speaker, call, flow: Some(flow), reading }
    }

    /// What waits for the caller, in the streams whose chunks it takes itself.
    pub(crate) fn reading(&self) -> Option<&Reading> {
        self.reading.as_ref()
    }

    /// The caller's own half of the stream, where it has one.
    pub(crate) fn uplink(&self) -> Option<(&Uplink, &Connection)> {
        let flow = self.flow.as_ref()?;
        Some((flow.uplink.as_deref()?, &flow.connection))
    }

    /// From now on this process gives the call its chunks.
    pub(crate) fn feed_from(&self, feeder: LocalPid) {
        self.speaker.say(|mailbox| mailbox.feed_from(feeder));
    }

    pub(crate) fn cancel(&self) {
        // False when the call is over already: then there is nothing to stop.
        if self.speaker.silence() {
            match &self.call {
                Call::Lane(ticket) => ticket.cancel(),
                Call::Task(task) => task.abort(),
            }
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
    let stall = handle.flow.as_ref().and_then(|flow| flow.pace.acknowledge(chunks));
    stall.map_or(0, gauge::micros)
}
