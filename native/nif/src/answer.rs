use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustler::{Encoder, Env, NifResult, OwnedEnv, ResourceArc, Term};
use snakepit_client::{Arrival, CallError, Lane};
use snakepit_protocol::pb::ExecuteResponse;

use crate::atoms;
use crate::handle::Handle;
use crate::inbox::{SLICE, effort};
use crate::mailbox::{self, Bell};
use crate::reason::{self, CallNames, Shape};
use crate::term::Maps;

pub(crate) type Reply = Result<ExecuteResponse, CallError>;

/// The answer to a unary call, which waits until its caller takes it; see [`inbox`](crate::inbox).
pub(crate) struct Answer {
    pub(crate) names: CallNames,
    state: Mutex<State>,
}

struct State {
    outcome: Option<Outcome>,
    /// Rings once, under the lock: none once its caller knows, or does not want to any more.
    bell: Option<Bell>,
    /// Of the bell that has rung; freed with the handle, by the caller's scheduler.
    spent: Option<OwnedEnv>,
}

enum Outcome {
    Here(Reply),
    /// The task of the call has panicked.
    Failed,
}

thread_local! {
    /// Came while a NIF runs on this thread, which has the means to tell their callers.
    static ARRIVED: RefCell<Option<Vec<Arc<Answer>>>> = const { RefCell::new(None) };
}

/// Runs what may bring answers to calls of any process, and tells their callers.
pub(crate) fn bringing<T>(env: Env<'_>, run: impl FnOnce() -> T) -> T {
    let _tells = Tells { env, before: ARRIVED.replace(Some(Vec::new())) };
    run()
}

/// Tells them on the way out, be it by a panic.
struct Tells<'a> {
    env: Env<'a>,
    before: Option<Vec<Arc<Answer>>>,
}

impl Drop for Tells<'_> {
    fn drop(&mut self) {
        for answer in ARRIVED.replace(self.before.take()).into_iter().flatten() {
            let mut state = answer.lock();
            if let Some(bell) = state.bell.take() {
                bell.ring_from(self.env);
            }
        }
    }
}

impl Answer {
    pub(crate) fn new(names: CallNames, bell: Bell) -> Self {
        let state = State { outcome: None, bell: Some(bell), spent: None };
        Answer { names, state: Mutex::new(state) }
    }

    /// The lane that the call may be on.
    pub(crate) fn lane(&self) -> Option<&Lane> {
        self.names.channel.connection().opened_lane().map(|lane| &**lane)
    }

    /// It is here: its caller is told, unless it is there or has cancelled the call.
    pub(crate) fn comes(self: &Arc<Self>, reply: Reply, arrival: Arrival) {
        if let Err(error) = &reply {
            self.names.log(error);
        }
        self.ends(Outcome::Here(reply), arrival);
    }

    /// It will never come.
    pub(crate) fn fails(self: &Arc<Self>) {
        self.ends(Outcome::Failed, Arrival::Later);
    }

    fn ends(self: &Arc<Self>, outcome: Outcome, arrival: Arrival) {
        let mut state = self.lock();
        if state.bell.is_none() {
            return;
        }
        state.outcome = Some(outcome);
        if arrival == Arrival::AtOnce {
            return;
        }
        let on_its_way = ARRIVED.with_borrow_mut(|arrived| {
            let arrived = arrived.as_mut()?;
            arrived.push(Arc::clone(self));
            Some(())
        });
        if on_its_way.is_none() {
            state.spent = state.bell.take().map(Bell::ring);
        }
    }

    /// Nothing more is sent after this returns. Says whether there was anything to stop.
    pub(crate) fn silence(&self) -> bool {
        let bell = self.lock().bell.take();
        bell.is_some()
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.lock().bell.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when it is too much for one time slice and `bounded`; then it waits on.
    fn take(&self, bounded: bool) -> Option<Option<Outcome>> {
        let mut state = self.lock();
        match &state.outcome {
            Some(Outcome::Here(Ok(response)))
                if bounded && effort(&response.result, response.codec()) > SLICE =>
            {
                None
            }
            _ => Some(state.outcome.take()),
        }
    }

    /// The answer for a caller that is there. If it is too much for one time slice, its caller is told
    /// as if it had come later.
    pub(crate) fn at_once<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        let bell = self.lock().bell.take();
        match (self.take(true), bell) {
            (None, Some(bell)) => {
                bell.ring_from(env);
                None
            }
            (outcome, _) => Some(self.term(env, outcome.flatten().unwrap_or(Outcome::Failed))),
        }
    }

    fn term<'a>(&self, env: Env<'a>, outcome: Outcome) -> Term<'a> {
        let names = &self.names;
        let reason = match outcome {
            Outcome::Here(Ok(response)) => {
                match Maps::new(env).result(&response.result, response.codec()) {
                    Ok(result) => return mailbox::tagged(env, atoms::ok(), result),
                    Err(error) => reason::undecodable(env, names, &error, "result"),
                }
            }
            Outcome::Here(Err(error)) => reason::encode(env, &error, names, Shape::Unary),
            Outcome::Failed => reason::internal(env, names),
        };
        mailbox::error(env, reason)
    }
}

/// The answer to a call that is `:ready`: `{:ok, map}`, `{:error, reason}`, or `:yield` when it is too
/// much for one time slice.
#[rustler::nif]
fn answer<'a>(env: Env<'a>, handle: ResourceArc<Handle>) -> NifResult<Term<'a>> {
    answered(env, &handle, true)
}

/// The same on a dirty scheduler, for answers of any size.
#[rustler::nif(schedule = "DirtyCpu")]
fn answer_large<'a>(env: Env<'a>, handle: ResourceArc<Handle>) -> NifResult<Term<'a>> {
    answered(env, &handle, false)
}

fn answered<'a>(env: Env<'a>, handle: &Handle, bounded: bool) -> NifResult<Term<'a>> {
    let answer = handle.answer().ok_or(rustler::Error::BadArg)?;
    let Some(outcome) = answer.take(bounded) else {
        return Ok(atoms::yield_().encode(env));
    };
    let outcome = outcome.ok_or(rustler::Error::BadArg)?;
    bringing(env, || handle.taken());
    Ok(answer.term(env, outcome))
}
