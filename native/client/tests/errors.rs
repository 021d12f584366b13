//! Every status and every error response as the error of a call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use snakepit_client::{CallError, Deadlines, Pace, RemoteError, unary};
use snakepit_protocol::pb::{ErrorDetail, ExecuteResponse};
use support::peer::Peer;
use support::{Running, frozen, request};
use tonic::{Code, Status};

const ALL: [Code; 16] = [
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

/// What a call ends with when the peer answers with a status of this code.
fn expected(code: Code) -> CallError {
    match code {
        Code::Cancelled => CallError::Cancelled,
        Code::DeadlineExceeded => CallError::DeadlineExceeded,
        Code::Unimplemented => CallError::Unimplemented("as it says".to_owned()),
        Code::Unavailable => CallError::WorkerExited,
        Code::ResourceExhausted => CallError::Busy,
        code => CallError::Protocol(format!("as it says (gRPC {code:?})")),
    }
}

#[test]
fn a_status_of_the_peer_is_what_its_code_says() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        for code in ALL {
            let answering = async {
                peer.executes.next().await.answer(Err(Status::new(code, "as it says")));
            };
            let (answer, ()) = tokio::join!(unary(&connection, request("echo")), answering);
            assert_eq!(answer, Err(expected(code)), "{code:?}");

            let pace = Arc::new(Pace::local(8, 0));
            let running = Running::plain(&connection, &pace, Deadlines::default());
            peer.streams.next().await.answer(Err(Status::new(code, "as it says")));
            assert_eq!(running.end().await, (vec![], Err(expected(code))), "{code:?}");
        }
    });
}

#[test]
fn a_status_after_the_headers_is_what_its_code_says() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        for code in ALL {
            let pace = Arc::new(Pace::local(8, 0));
            let running = Running::plain(&connection, &pace, Deadlines::default());
            let (_request, output) = peer.streams.next().await.accept();
            output.fail(Status::new(code, "as it says"));
            assert_eq!(running.end().await, (vec![], Err(expected(code))), "{code:?}");
        }
    });
}

#[test]
fn a_status_made_on_this_side_is_known_by_its_cause() {
    let made_by = |source: Arc<dyn std::error::Error + Send + Sync>| {
        let mut status = Status::unknown("as it says");
        status.set_source(source);
        CallError::from(status)
    };
    let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let connecting = tonic::ConnectError(Box::new(refused()));
    assert_eq!(
        made_by(Arc::new(connecting)),
        CallError::Unavailable("connection refused".to_owned())
    );
    assert_eq!(made_by(Arc::new(tonic::TimeoutExpired(()))), CallError::DeadlineExceeded);
    assert_eq!(made_by(Arc::new(refused())), CallError::WorkerExited);

    let limit = "Error, encoded message length too large: found 9 bytes, the limit is: 8 bytes";
    let mut status = Status::out_of_range(limit);
    status.set_source(Arc::new(refused()));
    assert_eq!(CallError::from(status), CallError::TooLarge(limit.to_owned()));
}

#[test]
fn a_message_above_the_limit_of_any_peer_is_too_large() {
    for (code, text) in [
        (Code::OutOfRange, "Error, decoded message length too large: found 9 bytes"),
        (Code::ResourceExhausted, "Received message larger than max (9 vs. 8)"),
        (Code::ResourceExhausted, "CLIENT: Sent message larger than max (9 vs. 8)"),
    ] {
        let error = CallError::from(Status::new(code, text));
        assert_eq!(error, CallError::TooLarge(text.to_owned()));
    }
}

#[test]
fn a_response_without_success_is_an_error_of_the_worker() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let detail = |kind: &str| ErrorDetail {
            r#type: "ValueError".to_owned(),
            message: "epochs must be positive".to_owned(),
            traceback: "line 1".to_owned(),
            retryable: true,
            kind: kind.to_owned(),
        };
        let remote = |kind: &str| {
            CallError::Remote(Box::new(RemoteError {
                kind: kind.to_owned(),
                python_type: "ValueError".to_owned(),
                message: "epochs must be positive".to_owned(),
                traceback: "line 1".to_owned(),
                retryable: true,
            }))
        };
        let plain = |message: &str| {
            let message = message.to_owned();
            CallError::Remote(Box::new(RemoteError { message, ..RemoteError::default() }))
        };
        for (text, detail, error) in [
            ("", Some(detail("python")), remote("python")),
            ("other words", Some(detail("unknown_command")), remote("unknown_command")),
            ("other words", Some(detail("")), remote("")),
            ("", Some(detail("busy")), CallError::Busy),
            ("", Some(detail("cancelled")), CallError::Cancelled),
            ("from a plain peer", None, plain("from a plain peer")),
            ("the text", Some(ErrorDetail::default()), plain("the text")),
            ("", None, plain("")),
        ] {
            let response =
                ExecuteResponse { error: text.to_owned(), detail, ..ExecuteResponse::default() };
            let answering = async { peer.executes.next().await.answer(Ok(response)) };
            let (answer, ()) = tokio::join!(unary(&connection, request("echo")), answering);
            assert_eq!(answer, Err(error));
        }
    });
}

#[test]
fn an_error_says_what_happened() {
    for (error, text) in [
        (CallError::WorkerExited, "the worker exited during the call"),
        (CallError::Unavailable("refused".to_owned()), "no connection to the worker: refused"),
        (CallError::DeadlineExceeded, "the deadline has passed"),
        (CallError::ChunkTimeout, "no chunk arrived in time"),
        (CallError::TooLarge("9 bytes".to_owned()), "9 bytes"),
        (CallError::from_response("it broke".to_owned(), None), "it broke"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
