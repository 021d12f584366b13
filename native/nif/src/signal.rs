use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustler::{Encoder, Env, Term};

use crate::atoms;

/// Sends a signal to the process group that `os_pid` leads.
#[rustler::nif]
fn signal_group(env: Env<'_>, os_pid: i32, signal: i32) -> Term<'_> {
    // Group 0 would be our own, group 1 init's.
    let sent = match os_pid {
        ..=1 => Err(Errno::EINVAL),
        _ => Signal::try_from(signal).and_then(|signal| killpg(Pid::from_raw(os_pid), signal)),
    };
    match sent {
        Ok(()) => atoms::ok().encode(env),
        Err(Errno::ESRCH) => (atoms::error(), atoms::esrch()).encode(env),
        Err(Errno::EPERM) => (atoms::error(), atoms::eperm()).encode(env),
        Err(_) => (atoms::error(), atoms::einval()).encode(env),
    }
}
