use rustler::{Encoder, Env, NifResult, ResourceArc, Term};
use snakepit_client::{CallError, Lane, Request, Speaker, unary};
use snakepit_protocol::pb::ExecuteResponse;

use crate::channel::ChannelResource;
use crate::handle::{Call, Handle};
use crate::mailbox::{self, Dress, LastWords, Mailbox};
use crate::reason::{self, CallNames, Shape};
use crate::{atoms, request, runtime, term};

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
    let names = CallNames::of(&request, channel.worker_id());
    names.log_start();
    let speaker = Speaker::new(Mailbox::new(env.pid(), reference, Dress::Plain, None));
    match submit(&channel, request, speaker.clone(), names.clone()) {
        Ok(call) => Ok(ResourceArc::new(Handle::unary(speaker, call)).encode(env)),
        Err(error) => {
            names.log(&error);
            speaker.silence();
            Ok((atoms::error(), reason::encode(env, &error, &names, Shape::Unary)).encode(env))
        }
    }
}

fn submit(
    channel: &ResourceArc<ChannelResource>,
    request: Request,
    speaker: Speaker<Mailbox>,
    names: CallNames,
) -> Result<Call, CallError> {
    let connection = channel.connection();
    if Lane::carries(&request)
        && let Some(lane) = connection.lane()
    {
        let on_reply = move |answer| reply(LastWords::new(speaker, names), answer);
        return lane.call(request, on_reply).map(Call::Lane);
    }
    let runtime = runtime::handle().ok_or(CallError::Busy)?;
    let connection = connection.clone();
    let task = runtime.spawn(async move {
        let last_words = LastWords::new(speaker, names);
        let answer = unary(&connection, request).await;
        reply(last_words, answer);
    });
    Ok(Call::Task(task.abort_handle()))
}

fn reply(last_words: LastWords, answer: Result<ExecuteResponse, CallError>) {
    let (speaker, names) = (&last_words.speaker, &last_words.names);
    if let Err(error) = &answer {
        names.log(error);
    }
    mailbox::say_last(speaker, |env| match &answer {
        Ok(response) => match term::result_map(env, &response.result, response.codec()) {
            Ok(result) => mailbox::tagged(env, atoms::ok(), result),
            Err(error) => mailbox::error(env, reason::undecodable(env, names, &error, "result")),
        },
        Err(error) => mailbox::error(env, reason::encode(env, error, names, Shape::Unary)),
    });
    last_words.over();
}
