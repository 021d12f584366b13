use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustler::{Atom, Encoder, Env, Term};

use crate::mailbox::Farewell;
use crate::{atoms, runtime};

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

/// Sends `message` to the calling process when the process `os_pid` has ended, at once if it has
/// already. `error` where the system has no such news to give.
#[rustler::nif]
fn watch_process<'a>(env: Env<'a>, os_pid: i32, message: Term<'a>) -> Atom {
    match runtime::handle().map(|runtime| (runtime, end_of(runtime, os_pid))) {
        Some((runtime, Ok(end))) => {
            let farewell = Farewell::new(env.pid(), message);
            runtime.spawn(async move {
                end.await;
                drop(farewell);
            });
            atoms::ok()
        }
        _ => atoms::error(),
    }
}

/// Resolves when the process has ended.
#[cfg(target_os = "linux")]
// The successor is unsafe because of descriptors that are not owned; this one is.
#[allow(deprecated)]
fn end_of(
    runtime: &tokio::runtime::Handle,
    os_pid: i32,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    let end = match Pid::from_raw(os_pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Some(Ok(process)) => {
            let _context = runtime.enter();
            Some(AsyncFd::with_interest(process, Interest::READABLE)?)
        }
        Some(Err(rustix::io::Errno::SRCH)) => None,
        Some(Err(error)) => return Err(error.into()),
        None => return Err(std::io::ErrorKind::InvalidInput.into()),
    };
    Ok(async move {
        if let Some(end) = end {
            let _ = end.readable().await;
        }
    })
}

#[cfg(not(target_os = "linux"))]
fn end_of(
    _runtime: &tokio::runtime::Handle,
    _os_pid: i32,
) -> std::io::Result<std::future::Ready<()>> {
    Err(std::io::ErrorKind::Unsupported.into())
}
