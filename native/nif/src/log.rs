use std::sync::{Mutex, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustler::{Atom, Encoder, Env, LocalPid, NifResult, OwnedEnv, Term};
use snakepit_log::{Event, Events, install, level_named, name_of, set_level};

use crate::atoms;

/// At most so many events are one message.
const BATCH: usize = 64;

/// The process that listens, and by what the sender hears that it wants more. It gets no message
/// that it has not asked for, so events wait here, where they are bounded.
struct Listener {
    pid: Mutex<Option<LocalPid>>,
    asked: Sender<()>,
}

static LISTENER: OnceLock<Option<Listener>> = OnceLock::new();

/// Has the next events sent to the calling process, as `{:snakepit_log, events, dropped}`: once, as
/// soon as there are some. An event is `{level, target, message, worker_id, request_id, command}`.
#[rustler::nif]
fn log_next(env: Env<'_>) -> Atom {
    let Some(listener) = LISTENER.get_or_init(listen) else {
        return atoms::error();
    };
    *listener.pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(env.pid());
    // One that waits already will do.
    let _ = listener.asked.try_send(());
    atoms::ok()
}

/// Sets from which level on there are events: `:off`, `:error`, `:warning`, `:info`, `:debug` or
/// `:trace`.
#[rustler::nif]
fn log_level(level: String) -> NifResult<Atom> {
    set_level(level_named(&level).ok_or(rustler::Error::BadArg)?);
    Ok(atoms::ok())
}

fn listen() -> Option<Listener> {
    let events = install(&["snakepit_client", "snakepit_nif"])?;
    let (asked, wishes) = bounded(1);
    let thread = std::thread::Builder::new().name("snakepit-log".to_owned());
    thread.spawn(move || forward(&events, &wishes)).ok()?;
    Some(Listener { pid: Mutex::new(None), asked })
}

fn forward(events: &Events, wishes: &Receiver<()>) {
    let mut env = OwnedEnv::new();
    let mut unsent = Vec::new();
    let mut untold = 0;
    while wishes.recv().is_ok() {
        if unsent.is_empty() {
            unsent = events.next(BATCH);
        }
        let listener = LISTENER.get().and_then(Option::as_ref);
        let pid = listener.and_then(|one| *one.pid.lock().unwrap_or_else(PoisonError::into_inner));
        untold += events.dropped();
        let sent = pid.map(|pid| {
            env.send_and_clear(&pid, |env| (atoms::snakepit_log(), encoded(env, &unsent), untold))
        });
        // A listener that has ended has a successor, which asks again.
        if matches!(sent, Some(Ok(()))) {
            unsent.clear();
            untold = 0;
        }
    }
}

fn encoded<'a>(env: Env<'a>, events: &[Event]) -> Vec<Term<'a>> {
    let term = |event: &Event| {
        let Event { level, target, message, worker_id, request_id, command } = event;
        (name_of(*level), target, message, worker_id, request_id, command).encode(env)
    };
    events.iter().map(term).collect()
}
