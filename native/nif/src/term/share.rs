//! Binaries that cross the boundary without a copy: the only file of the NIF that holds on to
//! memory of the other side.

use bytes::Bytes;
use rustler::env::SavedTerm;
use rustler::{Binary, Env, OwnedEnv, Resource, ResourceArc, Term};

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

/// A binary of Erlang's, in an environment that keeps it alive.
struct Kept {
    env: OwnedEnv,
    binary: SavedTerm,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        self.env.run(|env| {
            Binary::from_term(self.binary.load(env)).map_or(&[][..], |binary| binary.as_slice())
        })
    }
}

/// The memory of a large binary, which lives until the last part of it is dropped.
pub(crate) fn keep(binary: Term<'_>) -> Bytes {
    let env = OwnedEnv::new();
    let binary = env.save(binary);
    Bytes::from_owner(Kept { env, binary })
}
