use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::sys::signal::{SigHandler, Signal, killpg, raise, signal};
use nix::unistd::{Pid, dup2_stdin, getpgrp, getpid, setpgid};
use pyo3::prelude::*;

use crate::log;
use crate::orders::Orders;

/// The pipes to the parent, out of reach of user code.
struct Pipes {
    /// The process that has them; a child it forks only borrows them.
    owner: Pid,
    from_parent: File,
    to_parent: File,
    /// Where the worker listens, or will.
    socket: Option<PathBuf>,
}

static PIPES: OnceLock<Pipes> = OnceLock::new();

/// What to do when the parent has gone.
enum Farewell {
    /// Nothing is served yet: the worker is killed where it stands.
    None,
    Some(Box<dyn FnOnce() + Send>),
    /// The parent has gone already.
    Late,
}

static FAREWELL: Mutex<Farewell> = Mutex::new(Farewell::None);

/// Makes the process the leader of its own group and takes the pipes to the parent aside:
/// standard input becomes empty, and a stray `print` cannot be mistaken for a control line's
/// beginning or end. From now on neither the worker nor its `socket` outlives the parent. To be
/// called before any user code is imported; a second call does nothing.
#[pyfunction]
#[pyo3(signature = (socket=None))]
pub(crate) fn claim_process(socket: Option<PathBuf>) -> PyResult<()> {
    if PIPES.get().is_some() {
        return Ok(());
    }
    // Refused for a session leader, which leads its own group already.
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    let from_parent = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let to_parent = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
    // Ctrl-C in the terminal of the parent is the parent's to act on.
    ignore_interrupt()?;
    let _ = PIPES.set(Pipes { owner: getpid(), from_parent, to_parent, socket });
    wake_with_parents_death();
    log::forward();
    // From now on: what is imported next may take its time, or for ever.
    std::thread::Builder::new().name("snakepit-parent".to_owned()).spawn(watch_parent)?;
    Ok(())
}

/// A worker that is stopped by a signal would not notice that its parent goes. This resumes it.
#[cfg(target_os = "linux")]
fn wake_with_parents_death() {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGCONT);
}

#[cfg(not(target_os = "linux"))]
fn wake_with_parents_death() {}

fn watch_parent() {
    wait_for_parent_to_go();
    remove_socket();
    let farewell = std::mem::replace(&mut *lock(&FAREWELL), Farewell::Late);
    match farewell {
        Farewell::Some(farewell) => farewell(),
        Farewell::None | Farewell::Late => end_group(),
    }
}

/// What the parent would have cleared away: the socket, and with the last one its directory.
fn remove_socket() {
    let Some(socket) = PIPES.get().and_then(|pipes| pipes.socket.as_ref()) else {
        return;
    };
    let _ = std::fs::remove_file(socket);
    if let Some(directory) = socket.parent() {
        let _ = std::fs::remove_dir(directory);
    }
}

/// Has `farewell` called, on a thread of its own, when the parent has gone.
pub(crate) fn when_parent_goes(farewell: impl FnOnce() + Send + 'static) {
    let mut state = lock(&FAREWELL);
    if let Farewell::Late = *state {
        end_group();
    }
    *state = Farewell::Some(Box::new(farewell));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(unsafe_code)]
fn ignore_interrupt() -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours in signal context.
    unsafe { signal(Signal::SIGINT, SigHandler::SigIgn) }?;
    Ok(())
}

/// Blocks until the parent has closed its end, which its death does too.
fn wait_for_parent_to_go() {
    let Some(mut pipe) = PIPES.get().map(|pipes| &pipes.from_parent) else {
        // Started by hand, without a parent to watch.
        loop {
            std::thread::park();
        }
    };
    let (mut orders, mut read) = (Orders::default(), [0; 256]);
    loop {
        match pipe.read(&mut read) {
            Ok(0) => return,
            Ok(size) => orders.feed(&read[..size]),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            Err(_) => {}
        }
    }
}

/// The pipe to the parent, once the process has claimed it.
pub(crate) fn to_parent() -> Option<&'static File> {
    PIPES.get().map(|pipes| &pipes.to_parent)
}

/// Whether this is a child that the worker has forked.
pub(crate) fn is_forked() -> bool {
    PIPES.get().is_some_and(|pipes| pipes.owner != getpid())
}

/// Kills this process and all it has started.
pub(crate) fn end_group() {
    if getpgrp() == getpid() {
        let _ = killpg(getpgrp(), Signal::SIGKILL);
    }
    let _ = raise(Signal::SIGKILL);
}
