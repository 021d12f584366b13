use std::sync::Arc;

use rustler::{Encoder, Env, NifResult, ResourceArc, Term};
use snakepit_client::{CallError, Lane, Request, Speaker, unary};
use snakepit_protocol::pb::ExecuteResponse;

use crate::answer::Answer;
use crate::channel::ChannelResource;
use crate::handle::{Handle, Way};
use crate::mailbox::Bell;
use crate::reason::{self, CallNames, Shape};
use crate::{atoms, request, runtime};

/// Starts a unary call. Returns its handle, `{:error, reason}`, or `:yield` when the arguments
/// are too much for one time slice.
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
    let request = match request::decode(env, &channel, request, bounded)? {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal),
    };
    let answer = Arc::new(Answer::new(CallNames::of(&request, channel.worker_id())));
    answer.names.log_start();
    let speaker = Speaker::new(Bell::new(env, reference));
    match submit(&channel, request, speaker.clone(), Arc::clone(&answer)) {
        Ok(way) => Ok(ResourceArc::new(Handle::Call { speaker, way, answer }).encode(env)),
        Err(error) => {
            answer.names.log(&error);
            let reason = reason::encode(env, &error, &answer.names, Shape::Unary);
            Ok((atoms::error(), reason).encode(env))
        }
    }
}

fn submit(
    channel: &ResourceArc<ChannelResource>,
    request: Request,
    speaker: Speaker<Bell>,
    answer: Arc<Answer>,
) -> Result<Way, CallError> {
    let connection = channel.connection();
    if Lane::carries(&request)
        && let Some(lane) = connection.lane()
    {
        let on_reply = move |result| answer.comes(result, &speaker);
        return lane.call_and_take(request, on_reply).map(Way::Lane);
    }
    let runtime = runtime::handle().ok_or(CallError::Busy)?;
    let connection = connection.clone();
    let task = runtime.spawn(async move {
        let duty = Duty { speaker, answer: Some(answer) };
        let result = unary(&connection, request).await;
        duty.fulfil(result);
    });
    Ok(Way::Task(task.abort_handle()))
}

/// The duty to answer a call; a task that panics says so.
struct Duty {
    speaker: Speaker<Bell>,
    answer: Option<Arc<Answer>>,
}

impl Duty {
    fn fulfil(mut self, result: Result<ExecuteResponse, CallError>) {
        if let Some(answer) = self.answer.take() {
            answer.comes(result, &self.speaker);
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if let Some(answer) = &self.answer
            && answer.names.log_end(self.speaker.is_silent())
        {
            answer.fails(&self.speaker);
        }
    }
}
