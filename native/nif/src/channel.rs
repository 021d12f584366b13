use std::time::Duration;

use rustler::{Atom, Encoder, Env, NifResult, Resource, ResourceArc, Term};
use snakepit_client::{Connection, Health, Options, Speaker};
use snakepit_protocol::pb::Codec;

use crate::mailbox::{self, Dress, LastWords, Mailbox};
use crate::reason::{self, CallNames, Shape};
use crate::term::text;
use crate::{atoms, runtime};

/// The connection to one worker.
pub(crate) struct ChannelResource {
    connection: Connection,
    worker_id: String,
}

#[rustler::resource_impl]
impl Resource for ChannelResource {}

impl ChannelResource {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn worker_id(&self) -> &str {
        &self.worker_id
    }
}

/// Prepares the connection to a worker; it is made with the first call.
#[rustler::nif]
fn channel_open<'a>(env: Env<'a>, target: String, options: Term<'a>) -> NifResult<Term<'a>> {
    let milliseconds: u64 = options.map_get(atoms::connect_timeout())?.decode()?;
    let worker_id: String = options.map_get(atoms::worker_id())?.decode()?;
    let options = Options {
        target,
        token: options.map_get(atoms::token())?.decode()?,
        max_message_size: options.map_get(atoms::max_message_size())?.decode()?,
        connect_timeout: Duration::from_millis(milliseconds),
        worker_id: worker_id.clone(),
    };
    let Some(runtime) = runtime::handle() else {
        return Ok((atoms::error(), "the system gives no thread to the tokio runtime").encode(env));
    };
    let _context = runtime.enter();
    Ok(match Connection::new(&options) {
        Ok(connection) => {
            let channel = ChannelResource { connection, worker_id };
            (atoms::ok(), ResourceArc::new(channel)).encode(env)
        }
        Err(error) => (atoms::error(), error.to_string()).encode(env),
    })
}

/// Opens the lane: unary calls ride on it from now on.
#[rustler::nif]
fn channel_lane(channel: ResourceArc<ChannelResource>) -> Atom {
    let _end = channel.connection.open_lane();
    atoms::ok()
}

/// Streams keep exact credit with the peer from now on.
#[rustler::nif]
fn channel_credit(channel: ResourceArc<ChannelResource>) -> Atom {
    channel.connection.rely_on_credit();
    atoms::ok()
}

/// Has a stream ended with the connection, and the worker not answered since?
#[rustler::nif]
fn channel_lost(channel: ResourceArc<ChannelResource>) -> bool {
    channel.connection.is_lost()
}

/// Ends every call on the channel with `:worker_exited`, and every later one with
/// `:grpc_unavailable`.
#[rustler::nif]
fn channel_close(channel: ResourceArc<ChannelResource>) -> Atom {
    channel.connection.close();
    atoms::ok()
}

/// Asks for the worker's health; the answer comes as `{ref, {:ok, map} | {:error, reason}}`.
#[rustler::nif]
fn health<'a>(
    env: Env<'a>,
    channel: ResourceArc<ChannelResource>,
    reference: Term<'a>,
    timeout_ms: u64,
) -> Atom {
    let speaker = Speaker::new(Mailbox::new(env.pid(), reference, Dress::Plain, None));
    let Some(runtime) = runtime::handle() else {
        return atoms::error();
    };
    let names = CallNames {
        command: "health".to_owned(),
        request_id: String::new(),
        channel: channel.clone(),
    };
    runtime.spawn(async move {
        let last_words = LastWords::new(speaker, names);
        let (speaker, names) = (&last_words.speaker, &last_words.names);
        let timeout = Duration::from_millis(timeout_ms);
        let answer = snakepit_client::health(&channel.connection, timeout).await;
        if answer.is_ok() {
            channel.connection.note_lost(false);
        }
        mailbox::say_last(speaker, |env| match &answer {
            Ok(health) => mailbox::tagged(env, atoms::ok(), health_map(env, health)),
            Err(error) => mailbox::error(env, reason::encode(env, error, names, Shape::Unary)),
        });
        last_words.over();
    });
    atoms::ok()
}

fn health_map<'a>(env: Env<'a>, health: &Health) -> Term<'a> {
    let codecs: Vec<&str> = health
        .codecs()
        .map(|codec| match codec {
            Codec::Json => "json",
            Codec::Msgpack => "msgpack",
        })
        .collect();
    let pairs = [
        ("healthy", health.healthy.encode(env)),
        ("worker_id", health.worker_id.encode(env)),
        ("uptime_ms", health.uptime_ms.encode(env)),
        ("active_requests", health.active_requests.encode(env)),
        ("total_requests", health.total_requests.encode(env)),
        ("python_version", health.python_version.encode(env)),
        ("bridge_version", health.bridge_version.encode(env)),
        ("transport", health.transport.encode(env)),
        ("codecs", codecs.encode(env)),
        ("rss_bytes", health.rss_bytes.encode(env)),
        ("commands", health.commands.encode(env)),
        ("lane", health.lane.encode(env)),
        ("credit", health.credit.encode(env)),
    ];
    let (keys, values): (Vec<_>, Vec<_>) =
        pairs.into_iter().map(|(key, value)| (text(env, key.as_bytes()), value)).unzip();
    // The keys are distinct, so the map is always made.
    Term::map_from_term_arrays(env, &keys, &values).unwrap_or_else(|_| atoms::nil().to_term(env))
}
