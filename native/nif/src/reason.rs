use rustler::types::atom::Atom;
use rustler::{Encoder, Env, ResourceArc, Term};
use snakepit_client::{CallError, RemoteError, Request};
use snakepit_protocol::value::ValueError;
use tracing::{debug, error, trace};

use crate::atoms;
use crate::channel::ChannelResource;
use crate::term::text;

/// What an error says of the call it ended.
#[derive(Clone)]
pub(crate) struct CallNames {
    pub(crate) command: String,
    pub(crate) request_id: String,
    pub(crate) channel: ResourceArc<ChannelResource>,
}

impl CallNames {
    pub(crate) fn of(request: &Request, channel: ResourceArc<ChannelResource>) -> Self {
        CallNames {
            command: request.command.clone(),
            request_id: request.request_id.clone(),
            channel,
        }
    }

    fn worker_id(&self) -> &str {
        self.channel.worker_id()
    }

    /// Tells the log that the call begins.
    pub(crate) fn log_start(&self) {
        let CallNames { command, request_id, .. } = self;
        trace!(worker_id = self.worker_id(), command, request_id, "the call begins");
    }

    /// Tells the log that its task has ended without an answer; true when it should have had one. After
    /// a cancel there is nobody left to answer.
    pub(crate) fn log_end(&self, cancelled: bool) -> bool {
        let (CallNames { command, request_id, .. }, worker_id) = (self, self.worker_id());
        if cancelled {
            debug!(worker_id, command, request_id, "the call was cancelled by its caller");
        } else {
            error!(worker_id, command, request_id, "the native client failed on this call");
        }
        !cancelled
    }

    /// Tells the log how it failed.
    pub(crate) fn log(&self, error: &CallError) {
        error.log(self.worker_id(), &self.command, &self.request_id);
    }
}

/// Whether an answer was to be one message or many: a peer that does not know the method lacks
/// streaming in the one case, and breaks the contract in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Unary,
    Stream,
}

/// The reason in `{:error, reason}`: a bare atom for a condition, `%Snakepit.Error{}` for what
/// carries data.
pub(crate) fn encode<'a>(
    env: Env<'a>,
    error: &CallError,
    names: &CallNames,
    shape: Shape,
) -> Term<'a> {
    let condition = match error {
        CallError::WorkerExited => atoms::worker_exited(),
        CallError::Unavailable(_) => atoms::grpc_unavailable(),
        CallError::DeadlineExceeded => atoms::worker_timeout(),
        CallError::ChunkTimeout => atoms::chunk_timeout(),
        CallError::Cancelled => atoms::cancelled(),
        CallError::Busy => atoms::worker_busy(),
        CallError::Unimplemented(_) if shape == Shape::Stream => atoms::streaming_not_supported(),
        CallError::TooLarge(message) => {
            return of_kind(env, names, atoms::too_large(), message);
        }
        CallError::Unimplemented(message) | CallError::Protocol(message) => {
            return of_kind(env, names, atoms::protocol(), message);
        }
        CallError::Remote(remote) => return from_remote(env, names, remote),
    };
    condition.to_term(env)
}

/// An argument or a result that cannot be encoded or decoded.
pub(crate) fn encoding<'a>(env: Env<'a>, names: &CallNames, message: &str) -> Term<'a> {
    of_kind(env, names, atoms::encoding(), message)
}

/// A result that was received but has no form in Elixir.
pub(crate) fn undecodable<'a>(
    env: Env<'a>,
    names: &CallNames,
    error: &ValueError,
    root: &str,
) -> Term<'a> {
    encoding(env, names, &error.describe(root))
}

/// A failure of this library: the task of the call panicked.
pub(crate) fn internal<'a>(env: Env<'a>, names: &CallNames) -> Term<'a> {
    let message = "the native client failed on this call; the panic stands on standard error";
    of_kind(env, names, atoms::protocol(), message)
}

fn of_kind<'a>(env: Env<'a>, names: &CallNames, kind: Atom, message: &str) -> Term<'a> {
    let remote = RemoteError { message: message.to_owned(), ..RemoteError::default() };
    exception(env, names, kind, &remote)
}

fn from_remote<'a>(env: Env<'a>, names: &CallNames, remote: &RemoteError) -> Term<'a> {
    let kind = match remote.kind.as_str() {
        "session_not_found" => return atoms::session_not_found().to_term(env),
        "session_lost" => return atoms::session_lost().to_term(env),
        "draining" => return atoms::draining().to_term(env),
        "unknown_command" => atoms::unknown_command(),
        "invalid_arguments" => atoms::invalid_arguments(),
        "encoding" => atoms::encoding(),
        "too_large" => atoms::too_large(),
        "protocol" => atoms::protocol(),
        _ => atoms::python(),
    };
    exception(env, names, kind, remote)
}

fn exception<'a>(env: Env<'a>, names: &CallNames, kind: Atom, remote: &RemoteError) -> Term<'a> {
    let or_nil = |field: &str| match field {
        "" => atoms::nil().to_term(env),
        field => text(env, field.as_bytes()),
    };
    let keys = [
        atoms::struct_(),
        atoms::exception_(),
        atoms::kind(),
        atoms::message(),
        atoms::python_type(),
        atoms::traceback(),
        atoms::command(),
        atoms::worker_id(),
        atoms::request_id(),
        atoms::retryable(),
    ]
    .map(|key| key.to_term(env));
    let values = [
        atoms::snakepit_error().to_term(env),
        true.encode(env),
        kind.to_term(env),
        text(env, remote.message.as_bytes()),
        or_nil(&remote.python_type),
        or_nil(&remote.traceback),
        text(env, names.command.as_bytes()),
        text(env, names.worker_id().as_bytes()),
        text(env, names.request_id.as_bytes()),
        remote.retryable.encode(env),
    ];
    // The keys are distinct, so the map is always made.
    Term::map_from_term_arrays(env, &keys, &values).unwrap_or_else(|_| kind.to_term(env))
}
