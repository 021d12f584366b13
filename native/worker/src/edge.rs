use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::TryFutureExt;
use futures_util::future::MapOk;
use http_body::{Frame, SizeHint};
use snakepit_protocol::wire::Carried;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::{Code, Status};

/// What stands between tonic's service and the network. It sends the bodies that are
/// [`Carried`] past tonic's codec, and it hears of a reset as an error: tonic takes the reset of a
/// request for its end, and the handler of a peer that is gone would take half an input for the whole.
#[derive(Debug, Clone)]
pub(crate) struct Edge<S>(pub(crate) S);

impl<S: NamedService> NamedService for Edge<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<Request<Body>, Response = Response<Body>>> Service<Request<Body>> for Edge<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(Response<Body>) -> Response<Body>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request.map(|body| Body::new(Incoming(body)))).map_ok(Carried::unload)
    }
}

/// What the peer sends.
struct Incoming(Body);

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.0).poll_frame(context);
        frame.map_err(|status| match status.code() {
            Code::Cancelled => Status::aborted("the caller has reset the call"),
            _ => status,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
