use std::cell::RefCell;

use rustler::env::SavedTerm;
use rustler::types::atom::Atom;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Term};
use snakepit_client::Speaker;

use crate::reason::{self, CallNames};
use crate::{atoms, runtime};

/// How the messages of a call are dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dress {
    /// `{ref, body}`
    Plain,
    /// `{:snakepit, ref, body}`
    Tagged,
}

/// The only message of a call whose answer is taken by its caller: `{ref, :ready}`.
pub(crate) struct Bell {
    pid: LocalPid,
    message: Kept,
}

impl Bell {
    // Made on the caller's scheduler, from its own memory; sending it makes nothing new.
    pub(crate) fn new(env: Env<'_>, reference: Term<'_>) -> Self {
        let message = Kept::new((reference, atoms::ready()));
        Bell { pid: env.pid(), message }
    }

    /// Returns the environment it was in, which is to be freed by a scheduler: by any other thread
    /// it would have to be handed to the one it is from, which would be woken for it.
    pub(crate) fn ring(self) -> OwnedEnv {
        let Kept { mut env, term } = self.message;
        // Nobody hears it any more: then nobody waits.
        let _ = env.send_and_clear(&self.pid, |env| term.load(env));
        env
    }

    /// The same within a NIF, whose environment this is.
    pub(crate) fn ring_from(self, env: Env<'_>) {
        let _ = env.send(&self.pid, self.message.in_env(env));
    }
}

/// The process that waits for a call, and the reference it waits under.
pub(crate) struct Mailbox {
    pid: LocalPid,
    /// Who gives the call its chunks, and hears when there is room for more.
    feeder: LocalPid,
    reference: Kept,
    dress: Dress,
    /// Told once the call is over, however it ended; see [`Farewell`].
    _farewell: Option<Farewell>,
}

impl Mailbox {
    pub(crate) fn new(
        pid: LocalPid,
        reference: Term<'_>,
        dress: Dress,
        farewell: Option<Farewell>,
    ) -> Self {
        let reference = Kept::new(reference);
        Mailbox { pid, feeder: pid, reference, dress, _farewell: farewell }
    }

    pub(crate) fn feed_from(&mut self, feeder: LocalPid) {
        self.feeder = feeder;
    }

    fn send(&self, env: &mut OwnedEnv, body: &SavedTerm) -> bool {
        self.send_to(&self.pid, env, body)
    }

    fn send_to(&self, pid: &LocalPid, env: &mut OwnedEnv, body: &SavedTerm) -> bool {
        let sent = env.send_and_clear(pid, |env| {
            let (reference, body) = (self.reference.in_env(env), body.load(env));
            match self.dress {
                Dress::Plain => (reference, body).encode(env),
                Dress::Tagged => (atoms::snakepit(), reference, body).encode(env),
            }
        });
        sent.is_ok()
    }
}

/// A term that outlives the call of the NIF it came with.
struct Kept {
    env: OwnedEnv,
    term: SavedTerm,
}

impl Kept {
    fn new(term: impl Encoder) -> Self {
        let env = OwnedEnv::new();
        let term = env.save(term);
        Kept { env, term }
    }

    fn in_env<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.env.run(|own| self.term.load(own).in_env(env))
    }
}

/// A message that is sent exactly once, when this is dropped: with the last right to speak.
pub(crate) struct Farewell(Option<(LocalPid, Kept)>);

impl Farewell {
    pub(crate) fn new(pid: LocalPid, message: Term<'_>) -> Self {
        Farewell(Some((pid, Kept::new(message))))
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // A call may end on a scheduler thread, from where an environment of our own cannot send.
        if let (Some((pid, mut message)), Some(runtime)) = (self.0.take(), runtime::handle()) {
            runtime.spawn(async move {
                let Kept { env, term } = &mut message;
                let _ = env.send_and_clear(&pid, |env| term.load(env));
            });
        }
    }
}

thread_local! {
    // One environment per thread of the runtime, cleared by every send: allocating one costs as
    // much as the rest of a small message.
    static SCRATCH: RefCell<OwnedEnv> = RefCell::new(OwnedEnv::new());
}

/// Sends one message of several, if there is one; its body is built outside the speaker's lock.
/// Returns whether somebody still listens.
pub(crate) fn say(
    speaker: &Speaker<Mailbox>,
    body: impl for<'a> FnOnce(Env<'a>) -> Option<Term<'a>>,
) -> bool {
    if speaker.is_silent() {
        return false;
    }
    SCRATCH.with_borrow_mut(|env| {
        let Some(body) = env.run(|inner| body(inner).map(|body| env.save(body))) else {
            env.clear();
            return true;
        };
        let mut heard = false;
        let spoken = speaker.say(|mailbox| heard = mailbox.send(env, &body));
        if !spoken {
            env.clear();
        }
        heard
    })
}

/// Tells whoever gives the call its chunks that there is room for more.
pub(crate) fn say_room(speaker: &Speaker<Mailbox>) {
    SCRATCH.with_borrow_mut(|env| {
        let body = env.run(|inner| env.save(atoms::room().to_term(inner)));
        let spoken = speaker.say(|mailbox| {
            mailbox.send_to(&mailbox.feeder, env, &body);
        });
        if !spoken {
            env.clear();
        }
    });
}

/// Sends the last message, unless the call was cancelled.
pub(crate) fn say_last(speaker: &Speaker<Mailbox>, body: impl for<'a> FnOnce(Env<'a>) -> Term<'a>) {
    if speaker.is_silent() {
        return;
    }
    SCRATCH.with_borrow_mut(|env| {
        let body = env.run(|inner| env.save(body(inner)));
        let spoken = speaker.say_last(|mailbox| {
            mailbox.send(env, &body);
        });
        if !spoken {
            env.clear();
        }
    });
}

/// Answers for a task that ended without an answer of its own: by a panic.
pub(crate) struct LastWords {
    pub(crate) speaker: Speaker<Mailbox>,
    pub(crate) names: CallNames,
    over: bool,
}

impl LastWords {
    pub(crate) fn new(speaker: Speaker<Mailbox>, names: CallNames) -> Self {
        LastWords { speaker, names, over: false }
    }

    /// The call has ended in the ordinary way.
    pub(crate) fn over(mut self) {
        self.over = true;
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if self.names.log_end(self.speaker.is_silent()) {
            say_last(&self.speaker, |env| error(env, reason::internal(env, &self.names)));
        }
    }
}

/// `{:error, reason}`
pub(crate) fn error<'a>(env: Env<'a>, reason: Term<'a>) -> Term<'a> {
    tagged(env, atoms::error(), reason)
}

/// `{tag, term}`
pub(crate) fn tagged<'a>(env: Env<'a>, tag: Atom, term: Term<'a>) -> Term<'a> {
    (tag, term).encode(env)
}
