use std::time::UNIX_EPOCH;

use pyo3::prelude::*;
use snakepit_protocol::pb::{Codec, Entry, ErrorDetail, ExecuteResponse, StreamResponse};
use snakepit_protocol::value::ValueError;

use crate::dispatcher::Dispatcher;

/// Why a call failed, before it is put into a message.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An exception: the handler's, or the dispatcher's about the arguments.
    Python(PyErr),
    /// Something that does not fit into a message, or out of one.
    Value(ValueError, &'static str),
    /// The same, described elsewhere.
    Encoding(String),
    /// A message above the limit.
    TooLarge { what: &'static str, size: usize, limit: usize },
    /// A command called in a way it is not made for.
    Kind(String),
    /// Refused before it ran.
    Refused(&'static str, &'static str),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Failure::Python(error)
    }
}

impl Failure {
    pub(crate) fn into_detail(self, py: Python<'_>, dispatcher: &Dispatcher) -> ErrorDetail {
        let Failure::Python(error) = self else {
            return self.into_plain_detail();
        };
        match dispatcher.describe(py, &error) {
            Ok((kind, r#type, message, traceback, retryable)) => {
                ErrorDetail { kind, r#type, message, traceback, retryable }
            }
            // A broken `__str__` in the exception, say.
            Err(second) => ErrorDetail {
                kind: "python".to_owned(),
                r#type: error.get_type(py).to_string(),
                message: format!("an exception that cannot be described: {second}"),
                ..ErrorDetail::default()
            },
        }
    }

    /// For failures that need no Python to be described.
    pub(crate) fn into_plain_detail(self) -> ErrorDetail {
        let (kind, message) = match self {
            Failure::Python(error) => ("python", error.to_string()),
            Failure::Value(error, root) => ("encoding", error.describe(root)),
            Failure::Encoding(message) => ("encoding", message),
            Failure::TooLarge { what, size, limit } => (
                "too_large",
                format!("a {what} of {size} bytes is over max_message_size, {limit} bytes"),
            ),
            Failure::Kind(message) => ("invalid_arguments", message),
            Failure::Refused(kind, message) => (kind, message.to_owned()),
        };
        ErrorDetail { kind: kind.to_owned(), message, ..ErrorDetail::default() }
    }
}

pub(crate) fn success(result: Vec<Entry>, codec: Codec) -> ExecuteResponse {
    ExecuteResponse {
        success: true,
        result,
        timestamp: now(),
        codec: codec.into(),
        ..ExecuteResponse::default()
    }
}

pub(crate) fn failure(detail: ErrorDetail) -> ExecuteResponse {
    ExecuteResponse {
        error: detail.message.clone(),
        timestamp: now(),
        detail: Some(detail),
        ..ExecuteResponse::default()
    }
}

pub(crate) fn chunk(chunk: Vec<Entry>, codec: Codec, is_final: bool) -> StreamResponse {
    StreamResponse {
        is_final,
        chunk,
        timestamp: now(),
        codec: codec.into(),
        ..StreamResponse::default()
    }
}

pub(crate) fn error_chunk(detail: ErrorDetail) -> StreamResponse {
    StreamResponse {
        is_final: true,
        error: detail.message.clone(),
        timestamp: now(),
        detail: Some(detail),
        ..StreamResponse::default()
    }
}

/// Tells the caller that `chunks` more of its chunks were consumed.
pub(crate) fn ack(chunks: usize) -> StreamResponse {
    StreamResponse { ack: u32::try_from(chunks).unwrap_or(u32::MAX), ..StreamResponse::default() }
}

/// The final chunk of a client stream as the response of a unary call.
pub(crate) fn result_of(chunk: StreamResponse) -> ExecuteResponse {
    ExecuteResponse {
        success: chunk.error.is_empty() && chunk.detail.is_none(),
        result: chunk.chunk,
        error: chunk.error,
        timestamp: chunk.timestamp,
        codec: chunk.codec,
        detail: chunk.detail,
    }
}

fn now() -> i64 {
    UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_nanos() as i64)
}
