//! Binaries that cross the boundary without a copy: the only file of the NIF that holds on to
//! memory of the other side.

use bytes::Bytes;
use rustler::{Binary, Env, Resource, ResourceArc};

/// From this size on sharing is cheaper than copying. A shared binary keeps the whole received
/// message alive, so small ones are copied.
pub(crate) const SHARE_FROM: usize = 16 * 1024;

/// Bytes received from the wire, owned by the Erlang binaries that point into them.
struct Shared(Bytes);

#[rustler::resource_impl]
impl Resource for Shared {}

/// An Erlang binary over the memory of `data`.
pub(crate) fn binary(env: Env<'_>, data: Bytes) -> Binary<'_> {
    ResourceArc::new(Shared(data)).make_binary(env, |shared| &shared.0)
}
