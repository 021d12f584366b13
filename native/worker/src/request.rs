//! What the requests of the contract say of their calls.

use snakepit_protocol::pb::{Entry, ExecuteRequest, SessionRequest};

use crate::call::Head;

pub(crate) fn from_execute(request: ExecuteRequest) -> (Head, Vec<Entry>) {
    let codec = request.codec();
    let head = Head {
        command: request.command,
        request_id: request.request_id,
        session_id: String::new(),
        metadata: request.metadata,
        codec,
        deadline: deadline(request.timeout_ms),
    };
    (head, request.args)
}

pub(crate) fn from_session(request: SessionRequest) -> (Head, Vec<Entry>) {
    let codec = request.codec();
    let head = Head {
        command: request.command,
        request_id: request.request_id,
        session_id: request.session_id,
        metadata: request.metadata,
        codec,
        deadline: deadline(request.timeout_ms),
    };
    (head, request.args)
}

/// `time.monotonic()` at the end of `timeout_ms`.
pub(crate) fn deadline(timeout_ms: i32) -> Option<f64> {
    if timeout_ms <= 0 {
        return None;
    }
    #[cfg(target_os = "macos")]
    const CLOCK: nix::time::ClockId = nix::time::ClockId::CLOCK_UPTIME_RAW;
    #[cfg(not(target_os = "macos"))]
    const CLOCK: nix::time::ClockId = nix::time::ClockId::CLOCK_MONOTONIC;
    let now = std::time::Duration::from(nix::time::clock_gettime(CLOCK).ok()?);
    Some(now.as_secs_f64() + f64::from(timeout_ms) / 1000.0)
}
