use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};
use snakepit_protocol::pb::snakepit_bridge_server::SnakepitBridge;
use snakepit_protocol::pb::{
    Codec, Entry, ExecuteRequest, ExecuteResponse, HealthRequest, HealthResponse, LaneReply,
    LaneRequest, SessionRequest, StreamRequest, StreamResponse,
};
use snakepit_protocol::wire::{Carried, Outgoing, Side};
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};

use crate::call::Head;
use crate::calls::OpenCall;
use crate::exchange::{Opening, exchange, server_stream};
use crate::lane;
use crate::request::{from_execute, from_session};
use crate::response;
use crate::unary;
use crate::worker::Worker;

/// The service of the contract.
#[derive(Debug, Clone)]
pub(crate) struct Bridge {
    worker: Arc<Worker>,
}

/// What tonic's codec has to do.
type Nothing<T> = stream::Empty<Result<T, Status>>;

fn nothing<T>() -> Nothing<T> {
    stream::empty()
}

/// A response of `messages`, whose large values are not copied. `shell` is what tonic believes it is.
fn carried<T, S, M>(shell: T, messages: S) -> Response<T>
where
    S: futures_core::Stream<Item = Result<M, Status>> + Send + Unpin + 'static,
    M: prost::Message + 'static,
{
    Carried::response(shell, Body::new(Outgoing::new(Side::Server, messages)))
}

impl Bridge {
    pub(crate) fn new(worker: Arc<Worker>) -> Self {
        Bridge { worker }
    }

    async fn unary(
        &self,
        (head, args): (Head, Vec<Entry>),
    ) -> Result<Response<ExecuteResponse>, Status> {
        let (sender, receiver) = oneshot::channel();
        let reply = Box::new(move |response| {
            // The peer may have gone meanwhile.
            let _ = sender.send(response);
        });
        let call = CancelOnDrop(self.worker.calls.open(head));
        unary::start(&self.worker, &call.0, args, reply);
        let response = receiver.await;
        let response =
            response.map_err(|_| Status::internal("the handler thread failed on this call"))?;
        Ok(carried(ExecuteResponse::default(), stream::iter([Ok(response)])))
    }

    fn stream(&self, (head, args): (Head, Vec<Entry>)) -> Response<Nothing<StreamResponse>> {
        carried(nothing(), server_stream(&self.worker, Opening::plain(head, args)))
    }
}

struct CancelOnDrop(Arc<OpenCall>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[tonic::async_trait]
impl SnakepitBridge for Bridge {
    type ExecuteStreamStream = Nothing<StreamResponse>;
    type ExecuteInSessionStreamStream = Nothing<StreamResponse>;
    type ExecuteBidiStreamStream = Nothing<StreamResponse>;
    type LaneStream = Nothing<LaneReply>;

    async fn execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        self.unary(from_execute(request.into_inner())).await
    }

    async fn execute_in_session(
        &self,
        request: Request<SessionRequest>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        self.unary(from_session(request.into_inner())).await
    }

    async fn execute_stream(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<Nothing<StreamResponse>>, Status> {
        Ok(self.stream(from_execute(request.into_inner())))
    }

    async fn execute_in_session_stream(
        &self,
        request: Request<SessionRequest>,
    ) -> Result<Response<Nothing<StreamResponse>>, Status> {
        Ok(self.stream(from_session(request.into_inner())))
    }

    async fn health(
        &self,
        _request: Request<HealthRequest>,
    ) -> Result<Response<HealthResponse>, Status> {
        let worker = &self.worker;
        Ok(Response::new(HealthResponse {
            healthy: !worker.draining.load(Ordering::Acquire),
            worker_id: worker.calls.worker_id().to_owned(),
            uptime_ms: i64::try_from(worker.started.elapsed().as_millis()).unwrap_or(i64::MAX),
            active_requests: u32::try_from(worker.calls.active()).unwrap_or(u32::MAX),
            total_requests: worker.calls.total(),
            python_version: worker.python_version.clone(),
            bridge_version: env!("CARGO_PKG_VERSION").to_owned(),
            transport: "native".to_owned(),
            codecs: vec![Codec::Json.into(), Codec::Msgpack.into()],
            rss_bytes: resident_bytes(),
            commands: worker.dispatcher.commands(),
            lane: true,
            credit: true,
        }))
    }

    async fn lane(
        &self,
        request: Request<Streaming<LaneRequest>>,
    ) -> Result<Response<Nothing<LaneReply>>, Status> {
        Ok(carried(nothing(), lane::serve(&self.worker, request.into_inner())))
    }

    async fn execute_client_stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        let mut chunks = exchange(&self.worker, request.into_inner()).await?;
        while let Some(chunk) = chunks.next().await.transpose()? {
            if chunk.is_final {
                let response = response::result_of(chunk);
                return Ok(carried(ExecuteResponse::default(), stream::iter([Ok(response)])));
            }
        }
        Err(Status::internal("the handler thread failed on this call"))
    }

    async fn execute_bidi_stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Nothing<StreamResponse>>, Status> {
        let chunks = exchange(&self.worker, request.into_inner()).await?;
        Ok(carried(nothing(), chunks))
    }
}

/// From /proc, in pages; 0 where there is none.
fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}
