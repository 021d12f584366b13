use std::sync::{Mutex, MutexGuard, PoisonError};

use rustler::{Encoder, Env, NifResult, OwnedEnv, ResourceArc, Term};
use snakepit_client::{CallError, Speaker};
use snakepit_protocol::pb::ExecuteResponse;

use crate::atoms;
use crate::handle::Handle;
use crate::inbox::{SLICE, effort};
use crate::mailbox::{self, Bell};
use crate::reason::{self, CallNames, Shape};
use crate::term::Maps;

/// The answer to a unary call, which waits until its caller takes it; see [`inbox`](crate::inbox).
pub(crate) struct Answer {
    pub(crate) names: CallNames,
    state: Mutex<State>,
    /// Of the bell that has rung; freed with the handle, by the caller's scheduler.
    spent: Mutex<Option<OwnedEnv>>,
}

enum State {
    Awaited,
    Here(Result<ExecuteResponse, CallError>),
    /// The task of the call has panicked.
    Failed,
}

impl Answer {
    pub(crate) fn new(names: CallNames) -> Self {
        Answer { names, state: Mutex::new(State::Awaited), spent: Mutex::new(None) }
    }

    /// It is here: its caller is told, unless the call was cancelled.
    pub(crate) fn comes(
        &self,
        result: Result<ExecuteResponse, CallError>,
        speaker: &Speaker<Bell>,
    ) {
        if let Err(error) = &result {
            self.names.log(error);
        }
        self.set(State::Here(result), speaker);
    }

    /// It will never come.
    pub(crate) fn fails(&self, speaker: &Speaker<Bell>) {
        self.set(State::Failed, speaker);
    }

    fn set(&self, state: State, speaker: &Speaker<Bell>) {
        *self.lock() = state;
        speaker.say_last(|bell| {
            let spent = bell.ring();
            *self.spent.lock().unwrap_or_else(PoisonError::into_inner) = Some(spent);
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when it is too much for one time slice and `bounded`; then it waits on.
    fn take(&self, bounded: bool) -> Option<State> {
        let mut state = self.lock();
        match &*state {
            State::Here(Ok(response))
                if bounded && effort(&response.result, response.codec()) > SLICE =>
            {
                None
            }
            _ => Some(std::mem::replace(&mut *state, State::Awaited)),
        }
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
    let names = &answer.names;
    let Some(state) = answer.take(bounded) else {
        return Ok(atoms::yield_().encode(env));
    };
    handle.taken();
    let reason = match state {
        State::Here(Ok(response)) => {
            match Maps::new(env).result(&response.result, response.codec()) {
                Ok(result) => return Ok(mailbox::tagged(env, atoms::ok(), result)),
                Err(error) => reason::undecodable(env, names, &error, "result"),
            }
        }
        State::Here(Err(error)) => reason::encode(env, &error, names, Shape::Unary),
        State::Failed => reason::internal(env, names),
        State::Awaited => return Err(rustler::Error::BadArg),
    };
    Ok(mailbox::error(env, reason))
}
