use rustler::types::atom::Atom;
use rustler::{Encoder, Env, ResourceArc, Term};
use snakepit_client::Request;
use snakepit_protocol::pb::Codec;
use snakepit_protocol::value::ValueError;

use crate::reason::{self, CallNames, Shape};
use crate::term::{self, Budget, Stop};
use crate::{atoms, channel::ChannelResource};

/// `{command, session_id | nil, args, timeout_ms | 0, request_id, metadata, codec}`
type RequestTuple<'a> = (String, Option<String>, Term<'a>, u32, String, Term<'a>, Atom);

/// Reads and encodes a request. On failure gives the term the NIF returns instead of a handle:
/// `:yield` or `{:error, reason}`.
pub(crate) fn decode<'a>(
    env: Env<'a>,
    channel: &ResourceArc<ChannelResource>,
    request: Term<'a>,
    bounded: bool,
) -> Result<Result<Request, Term<'a>>, rustler::Error> {
    let (command, session_id, args, timeout_ms, request_id, metadata, codec): RequestTuple<'a> =
        request.decode()?;
    let raw = codec == atoms::raw();
    let budget = &mut Budget::new(bounded);
    let encoded = if raw { term::text_entries(args, budget) } else { term::entries(args, budget) };
    let refuse = |error: ValueError, root: &str, request_id| {
        let names = CallNames { command: command.clone(), request_id, channel: channel.clone() };
        let reason = reason::encoding(env, &names, &error.describe(root));
        Ok(Err((atoms::error(), reason).encode(env)))
    };
    let args = match encoded {
        Ok(args) => args,
        Err(Stop::Budget) => return Ok(Err(atoms::yield_().encode(env))),
        Err(Stop::Value(error)) => return refuse(error, "args", request_id),
    };
    let metadata = match term::text_entries(metadata, budget) {
        Ok(metadata) => metadata,
        Err(Stop::Budget) => return Ok(Err(atoms::yield_().encode(env))),
        Err(Stop::Value(error)) => return refuse(error, "metadata", request_id),
    };
    let codec = if raw { Codec::Json } else { Codec::Msgpack };
    let request = Request { command, session_id, args, codec, timeout_ms, request_id, metadata };
    if let Err(error) = channel.connection().check_size("arguments", request.args_size()) {
        let names = CallNames::of(&request, channel.clone());
        let reason = reason::encode(env, &error, &names, Shape::Unary);
        return Ok(Err((atoms::error(), reason).encode(env)));
    }
    Ok(Ok(request))
}
