use std::error::Error;

use snakepit_protocol::pb::ErrorDetail;
use tonic::{Code, Status};
use tracing::{debug, trace, warn};

/// Every way a call can fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The connection broke while the call was on it: the worker has gone, and the call may have
    /// run in part.
    #[error("the worker exited during the call")]
    WorkerExited,
    /// No connection could be made, or it was gone before the call was sent: the call has not run.
    #[error("no connection to the worker: {0}")]
    Unavailable(String),
    /// The call's own deadline has passed.
    #[error("the deadline has passed")]
    DeadlineExceeded,
    /// The worker was silent for longer than one chunk may take.
    #[error("no chunk arrived in time")]
    ChunkTimeout,
    /// The worker stopped the call.
    #[error("the call was cancelled")]
    Cancelled,
    /// The worker, or the lane to it, takes no more calls at present.
    #[error("the worker takes no more calls at present")]
    Busy,
    /// The peer does not know the method.
    #[error("the worker does not serve this kind of call: {0}")]
    Unimplemented(String),
    /// A message above the limit.
    #[error("{0}")]
    TooLarge(String),
    /// The peer broke the contract.
    #[error("{0}")]
    Protocol(String),
    /// The worker answered with an error.
    #[error("{}", .0.message)]
    Remote(Box<RemoteError>),
}

/// An error the worker answered with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteError {
    /// `ErrorDetail.kind`; empty from a plain peer.
    pub kind: String,
    /// The Python class.
    pub python_type: String,
    /// What went wrong.
    pub message: String,
    /// Frames of the handler, as Python prints them.
    pub traceback: String,
    /// Whether the same call may succeed at another time.
    pub retryable: bool,
}

impl CallError {
    /// Tells the log of a call that has failed. Its caller gets the error in any case, so only what
    /// should never happen is more than a detail. Nothing the worker says of the failure is told: it
    /// may repeat what it was called with.
    pub fn log(&self, worker_id: &str, command: &str, request_id: &str) {
        match self {
            CallError::Protocol(_) => {
                warn!(worker_id, command, request_id, "the worker broke the protocol");
            }
            CallError::WorkerExited | CallError::Unavailable(_) => {
                debug!(worker_id, command, request_id, "the call failed: {}", self.kind());
            }
            _ => trace!(worker_id, command, request_id, "the call failed: {}", self.kind()),
        }
    }

    fn kind(&self) -> &str {
        match self {
            CallError::WorkerExited => "worker_exited",
            CallError::Unavailable(_) => "unavailable",
            CallError::DeadlineExceeded => "deadline",
            CallError::ChunkTimeout => "chunk_timeout",
            CallError::Cancelled => "cancelled",
            CallError::Busy => "busy",
            CallError::Unimplemented(_) => "unimplemented",
            CallError::TooLarge(_) => "too_large",
            CallError::Protocol(_) => "protocol",
            CallError::Remote(remote) => &remote.kind,
        }
    }

    /// The connection ended before the call was sent.
    pub(crate) fn not_sent() -> Self {
        CallError::Unavailable("it ended before the call was sent".to_owned())
    }

    /// The error in a response; `text` is the plain field, `detail` ours.
    pub fn from_response(text: String, detail: Option<ErrorDetail>) -> Self {
        let detail = detail.unwrap_or_default();
        match detail.kind.as_str() {
            "busy" => return CallError::Busy,
            "cancelled" => return CallError::Cancelled,
            _ => {}
        }
        CallError::Remote(Box::new(RemoteError {
            kind: detail.kind,
            python_type: detail.r#type,
            message: if detail.message.is_empty() { text } else { detail.message },
            traceback: detail.traceback,
            retryable: detail.retryable,
        }))
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        if let Some(source) = status.source() {
            return from_transport(source, status.message());
        }
        let message = status.message();
        match status.code() {
            Code::DeadlineExceeded => CallError::DeadlineExceeded,
            Code::Cancelled => CallError::Cancelled,
            Code::Unimplemented => CallError::Unimplemented(message.to_owned()),
            // tonic says OutOfRange, every other gRPC ResourceExhausted, which means more than that.
            Code::OutOfRange | Code::ResourceExhausted if is_of_size(message) => {
                CallError::TooLarge(message.to_owned())
            }
            Code::ResourceExhausted => CallError::Busy,
            Code::Unavailable => CallError::WorkerExited,
            code => CallError::Protocol(format!("{message} (gRPC {code:?})")),
        }
    }
}

/// A status with a source was made on this side, by a failure of the connection.
fn from_transport(source: &(dyn Error + 'static), message: &str) -> CallError {
    let mut cause = Some(source);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return CallError::Unavailable(innermost(error));
        }
        // tonic's own timer, should it be first: after a leap of the clock, say.
        if error.is::<tonic::TimeoutExpired>() {
            return CallError::DeadlineExceeded;
        }
        cause = error.source();
    }
    if is_of_size(message) {
        return CallError::TooLarge(message.to_owned());
    }
    CallError::WorkerExited
}

/// tonic's words for a message above the limit, and those of the other implementations of gRPC.
fn is_of_size(message: &str) -> bool {
    message.contains("message length too large") || message.contains("message larger than max")
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
