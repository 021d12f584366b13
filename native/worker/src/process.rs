use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use nix::sys::signal::{SigHandler, Signal, killpg, raise, signal};
use nix::unistd::{Pid, dup2_stdin, getpgrp, getpid, setpgid};
use pyo3::prelude::*;

/// The pipes to the parent, out of reach of user code.
struct Pipes {
    from_parent: File,
    to_parent: File,
}

static PIPES: OnceLock<Pipes> = OnceLock::new();

/// Makes the process the leader of its own group and takes the pipes to the parent aside:
/// standard input becomes empty, and a stray `print` cannot be mistaken for a control line's
/// beginning or end. To be called before any user code is imported; a second call does nothing.
#[pyfunction]
pub(crate) fn claim_process() -> PyResult<()> {
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
    let _ = PIPES.set(Pipes { from_parent, to_parent });
    Ok(())
}

#[allow(unsafe_code)]
fn ignore_interrupt() -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours in signal context.
    unsafe { signal(Signal::SIGINT, SigHandler::SigIgn) }?;
    Ok(())
}

/// Tells the parent something, on a line of its own.
pub(crate) fn tell_parent(json: &str) -> io::Result<()> {
    let line = format!("\u{1e}{json}\n");
    match PIPES.get() {
        Some(pipes) => (&pipes.to_parent).write_all(line.as_bytes()),
        None => io::stdout().write_all(line.as_bytes()),
    }
}

/// Blocks until the parent has closed its end, which its death does too.
pub(crate) fn wait_for_parent_to_go() {
    let Some(mut pipe) = PIPES.get().map(|pipes| &pipes.from_parent) else {
        // Started by hand, without a parent to watch.
        loop {
            std::thread::park();
        }
    };
    let mut ignored = [0; 256];
    loop {
        match pipe.read(&mut ignored) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            _ => {}
        }
    }
}

/// Kills this process and all it has started.
pub(crate) fn end_group() {
    if getpgrp() == getpid() {
        let _ = killpg(getpgrp(), Signal::SIGKILL);
    }
    let _ = raise(Signal::SIGKILL);
}
