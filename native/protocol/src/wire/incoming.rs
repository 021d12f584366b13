use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use http_body::Body as _;
use prost::Message;
use tonic::body::Body;
use tonic::codegen::http::{self, StatusCode};
use tonic::{Code, Status};

use super::{Arrivals, Malformed};

/// The messages of a response.
#[derive(Debug)]
pub struct Incoming<M> {
    body: Body,
    arrivals: Arrivals,
    limit: usize,
    over: bool,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Incoming<M> {
    /// The messages of `response`, of at most `limit` bytes each; or what it says in place of them.
    pub fn new(response: http::Response<Body>, limit: usize) -> Result<Self, Status> {
        let over = match Status::from_header_map(response.headers()) {
            Some(status) if status.code() != Code::Ok => return Err(status),
            Some(_) => true,
            None if response.status() != StatusCode::OK => return Err(no_grpc(response.status())),
            None => false,
        };
        let (body, arrivals) = (response.into_body(), Arrivals::new());
        Ok(Incoming { body, arrivals, limit, over, message: PhantomData })
    }

    /// The next message; none after the last.
    pub async fn message(&mut self) -> Result<Option<M>, Status> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await.transpose()
    }
}

impl<M: Message + Default> Stream for Incoming<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.over {
                return Poll::Ready(None);
            }
            let limit = this.limit;
            match this.arrivals.next(limit) {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(malformed) => return this.end(Some(status_of(&malformed))),
            }
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(status)) => return this.end(Some(status)),
                None if this.arrivals.is_empty() => return this.end(None),
                None => {
                    let text = "the response ends in the middle of a message";
                    return this.end(Some(Status::internal(text)));
                }
            };
            match frame.into_data() {
                Ok(data) => this.arrivals.push(data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    let status = Status::from_header_map(&trailers);
                    return this.end(status.filter(|status| status.code() != Code::Ok));
                }
            }
        }
    }
}

impl<M> Incoming<M> {
    fn end(&mut self, status: Option<Status>) -> Poll<Option<Result<M, Status>>> {
        self.over = true;
        Poll::Ready(status.map(Err))
    }
}

fn status_of(malformed: &Malformed) -> Status {
    match malformed {
        Malformed::TooLong { .. } => Status::out_of_range(malformed.to_string()),
        Malformed::Compressed => Status::unimplemented(malformed.to_string()),
        Malformed::Undecodable(_) => Status::internal(malformed.to_string()),
    }
}

/// What gRPC makes of an answer that is none of its own: "HTTP to gRPC Status Code Mapping" in its
/// documentation.
fn no_grpc(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("no answer of gRPC, but HTTP {status}"))
}
