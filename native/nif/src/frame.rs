use bytes::Bytes;
use rustler::{Binary, Encoder, Env, NewBinary, Term};

use crate::atoms;
use crate::term::{self, Budget, Stop};

/// From this size on a frame is read elsewhere: it may hold as many values as it has bytes.
const SLICE_BYTES: usize = 16 * 1024;

/// A list of names and values as one MessagePack map, in the order of the list: `{:ok, binary}`,
/// `{:error, text}`, or `:yield` when it is too much for one time slice.
#[rustler::nif]
fn pack<'a>(env: Env<'a>, pairs: Term<'a>) -> Term<'a> {
    packed(env, pairs, true)
}

/// The same on a dirty scheduler, for values of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn pack_large<'a>(env: Env<'a>, pairs: Term<'a>) -> Term<'a> {
    packed(env, pairs, false)
}

/// One MessagePack object as a term: `{:ok, term}`, `{:error, text}` or `:yield`.
#[rustler::nif]
fn unpack<'a>(env: Env<'a>, input: Binary<'a>) -> Term<'a> {
    if input.len() > SLICE_BYTES { atoms::yield_().encode(env) } else { unpacked(env, input) }
}

/// The same on a dirty scheduler, for objects of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn unpack_large<'a>(env: Env<'a>, input: Binary<'a>) -> Term<'a> {
    unpacked(env, input)
}

fn packed<'a>(env: Env<'a>, pairs: Term<'a>, bounded: bool) -> Term<'a> {
    match term::pack(pairs, &mut Budget::new(bounded)) {
        Ok(data) => (atoms::ok(), binary(env, &data)).encode(env),
        Err(Stop::Budget) => atoms::yield_().encode(env),
        Err(Stop::Value(error)) => refused(env, &error.describe("")),
    }
}

fn unpacked<'a>(env: Env<'a>, input: Binary<'a>) -> Term<'a> {
    match term::unpack(env, input) {
        Ok(value) => (atoms::ok(), value).encode(env),
        Err(error) => refused(env, &error.describe("")),
    }
}

fn binary<'a>(env: Env<'a>, data: &Bytes) -> Term<'a> {
    NewBinary::from_slice(env, data).into()
}

// The path of the value begins with the first name.
fn refused<'a>(env: Env<'a>, text: &str) -> Term<'a> {
    let text = text.trim_start_matches(['.', ':', ' ']);
    (atoms::error(), term::text(env, text.as_bytes())).encode(env)
}
