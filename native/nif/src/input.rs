use rustler::{Atom, Encoder, Env, ResourceArc, Term};
use snakepit_client::Sent;

use crate::atoms;
use crate::handle::Handle;
use crate::term::{self, Budget, Stop};

/// Gives the handler a chunk: `:ok` (taken, there is room for more), `:wait` (taken; `{ref, :room}`
/// tells this process when to go on), `:over` (not taken, the call has ended and its last message
/// says how), `{:error, :encoding | :too_large, text}` or `:yield` (too much for one time slice).
#[rustler::nif]
fn send_chunk<'a>(env: Env<'a>, handle: ResourceArc<Handle>, chunk: Term<'a>) -> Term<'a> {
    send(env, &handle, chunk, true)
}

/// The same on a dirty scheduler, for chunks of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn send_chunk_large<'a>(env: Env<'a>, handle: ResourceArc<Handle>, chunk: Term<'a>) -> Term<'a> {
    send(env, &handle, chunk, false)
}

fn send<'a>(env: Env<'a>, handle: &Handle, chunk: Term<'a>, bounded: bool) -> Term<'a> {
    let Some((uplink, connection)) = handle.uplink() else {
        return atoms::over().encode(env);
    };
    let entries = match term::entries(chunk, &mut Budget::new(bounded)) {
        Ok(entries) => entries,
        Err(Stop::Budget) => return atoms::yield_().encode(env),
        Err(Stop::Value(error)) => {
            return (atoms::error(), atoms::encoding(), error.describe("chunk")).encode(env);
        }
    };
    let size = entries.iter().map(|entry| entry.size()).sum();
    if let Err(error) = connection.check_size("values of a chunk", size) {
        return (atoms::error(), atoms::too_large(), error.to_string()).encode(env);
    }
    handle.feed_from(env.pid());
    match uplink.send(entries) {
        Sent::Room => atoms::ok().encode(env),
        Sent::Full => atoms::wait().encode(env),
        Sent::Over => atoms::over().encode(env),
    }
}

/// Tells the handler that no chunk follows.
#[rustler::nif]
fn half_close(handle: ResourceArc<Handle>) -> Atom {
    if let Some((uplink, _)) = handle.uplink() {
        uplink.half_close();
    }
    atoms::ok()
}

/// Tells the handler that what made the chunks has failed.
#[rustler::nif]
fn abort_input(handle: ResourceArc<Handle>, reason: String) -> Atom {
    if let Some((uplink, _)) = handle.uplink() {
        uplink.abort(reason);
    }
    atoms::ok()
}
