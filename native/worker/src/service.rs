use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use snakepit_protocol::pb::snakepit_bridge_server::SnakepitBridge;
use snakepit_protocol::pb::{
    Codec, Entry, ExecuteRequest, ExecuteResponse, HealthRequest, HealthResponse, LaneReply,
    LaneRequest, SessionRequest, StreamRequest,
};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

use crate::call::Head;
use crate::calls::OpenCall;
use crate::exchange::{Chunks, Opening, exchange, server_stream};
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

type LaneReplies = Pin<Box<dyn futures_core::Stream<Item = Result<LaneReply, Status>> + Send>>;

impl Bridge {
    pub(crate) fn new(worker: Arc<Worker>) -> Self {
        Bridge { worker }
    }

    async fn unary(&self, (head, args): (Head, Vec<Entry>)) -> Result<ExecuteResponse, Status> {
        let (sender, receiver) = oneshot::channel();
        let reply = Box::new(move |response| {
            // The peer may have gone meanwhile.
            let _ = sender.send(response);
        });
        let call = CancelOnDrop(self.worker.calls.open(head));
        unary::start(&self.worker, &call.0, args, reply);
        receiver.await.map_err(|_| Status::internal("the handler thread failed on this call"))
    }

    fn stream(&self, (head, args): (Head, Vec<Entry>)) -> Chunks {
        server_stream(&self.worker, Opening::plain(head, args))
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
    type ExecuteStreamStream = Chunks;
    type ExecuteInSessionStreamStream = Chunks;
    type ExecuteBidiStreamStream = Chunks;
    type LaneStream = LaneReplies;

    async fn execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        self.unary(from_execute(request.into_inner())).await.map(Response::new)
    }

    async fn execute_in_session(
        &self,
        request: Request<SessionRequest>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        self.unary(from_session(request.into_inner())).await.map(Response::new)
    }

    async fn execute_stream(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<Chunks>, Status> {
        Ok(Response::new(self.stream(from_execute(request.into_inner()))))
    }

    async fn execute_in_session_stream(
        &self,
        request: Request<SessionRequest>,
    ) -> Result<Response<Chunks>, Status> {
        Ok(Response::new(self.stream(from_session(request.into_inner()))))
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
    ) -> Result<Response<LaneReplies>, Status> {
        let replies = lane::serve(&self.worker, request.into_inner());
        Ok(Response::new(Box::pin(replies)))
    }

    async fn execute_client_stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        let mut chunks = exchange(&self.worker, request.into_inner()).await?;
        while let Some(chunk) = chunks.next().await.transpose()? {
            if chunk.is_final {
                return Ok(Response::new(response::result_of(chunk)));
            }
        }
        Err(Status::internal("the handler thread failed on this call"))
    }

    async fn execute_bidi_stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Chunks>, Status> {
        exchange(&self.worker, request.into_inner()).await.map(Response::new)
    }
}

/// From /proc, in pages; 0 where there is none.
fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}
