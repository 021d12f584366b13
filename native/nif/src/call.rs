use std::cell::Cell;
use std::sync::Arc;

use rustler::schedule::consume_timeslice;
use rustler::{Encoder, Env, NifResult, ResourceArc, Term};
use snakepit_client::{Arrival, CallError, Lane, Placed, Request, unary};

use crate::answer::{Answer, Reply, bringing};
use crate::channel::ChannelResource;
use crate::handle::{Handle, Way};
use crate::mailbox::Bell;
use crate::reason::{self, CallNames, Shape};
use crate::{atoms, request, runtime};

/// After so many answers that came at once others may run.
const IN_A_ROW: u32 = 8;

thread_local! {
    static ANSWERED: Cell<u32> = const { Cell::new(0) };
}

/// Starts a unary call. Returns its handle, `{:error, reason}`, or `:yield` when the arguments
/// are too much for one time slice. If the answer is there at once, that:
/// `{:ok, map}` or `{:error, reason}`.
#[rustler::nif]
fn call<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    request: Term<'a>,
) -> NifResult<Term<'a>> {
    start(env, channel, reference, request, true)
}

/// The same on a dirty scheduler, for arguments of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn call_large<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    request: Term<'a>,
) -> NifResult<Term<'a>> {
    start(env, channel, reference, request, false)
}

fn start<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    request: Term<'a>,
    bounded: bool,
) -> NifResult<Term<'a>> {
    if channel.connection().is_lost() {
        return Ok((atoms::error(), atoms::grpc_unavailable()).encode(env));
    }
    let request = match request::decode(env, &channel, request, bounded)? {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal),
    };
    let names = CallNames::of(&request, channel);
    let answer = Arc::new(Answer::new(names, Bell::new(env, reference)));
    answer.names.log_start();
    match bringing(env, || submit(request, &answer)) {
        Ok(Some(way)) => Ok(ResourceArc::new(Handle::Call { way, answer }).encode(env)),
        Ok(None) => {
            let_others_run(env);
            Ok(answer.at_once(env).unwrap_or_else(|| {
                ResourceArc::new(Handle::Call { way: Way::Gone, answer }).encode(env)
            }))
        }
        Err(error) => {
            answer.names.log(&error);
            let reason = reason::encode(env, &error, &answer.names, Shape::Unary);
            Ok((atoms::error(), reason).encode(env))
        }
    }
}

/// A process that always has its answer at once does not wait, and so would keep the others of its
/// scheduler waiting until its time slice ends.
fn let_others_run(env: Env<'_>) {
    let answered = ANSWERED.get().wrapping_add(1);
    ANSWERED.set(answered);
    if answered.is_multiple_of(IN_A_ROW) {
        consume_timeslice(env, 100);
    }
}

/// Gives what carries the call, unless it is answered.
fn submit(request: Request, answer: &Arc<Answer>) -> Result<Option<Way>, CallError> {
    let connection = answer.names.channel.connection();
    let answer = Arc::clone(answer);
    if Lane::carries(&request)
        && let Some(lane) = connection.lane()
    {
        let on_reply = move |reply, arrival| answer.comes(reply, arrival);
        return Ok(match lane.call_and_take(request, on_reply)? {
            Placed::Waits(id) => Some(Way::Lane(id)),
            Placed::Answered => None,
        });
    }
    let runtime = runtime::handle().ok_or(CallError::Busy)?;
    let connection = connection.clone();
    let task = runtime.spawn(async move {
        let duty = Duty(Some(answer));
        let reply = unary(&connection, request).await;
        duty.fulfil(reply);
    });
    Ok(Some(Way::Task(task.abort_handle())))
}

/// The duty to answer a call; a task that panics says so.
struct Duty(Option<Arc<Answer>>);

impl Duty {
    fn fulfil(mut self, reply: Reply) {
        if let Some(answer) = self.0.take() {
            answer.comes(reply, Arrival::Later);
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if let Some(answer) = &self.0
            && answer.names.log_end(answer.is_silent())
        {
            answer.fails();
        }
    }
}
