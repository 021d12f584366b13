use std::time::Duration;

use futures_core::Stream;
use futures_util::stream;
use prost::Message;
use snakepit_protocol::wire::{Incoming, Outgoing, Side};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use tonic::codegen::http::{self, Version};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

/// What the peer is told on top of a call's deadline.
const DEADLINE_GRACE: Duration = Duration::from_secs(1);

/// The methods of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Execute,
    ExecuteInSession,
    ExecuteStream,
    ExecuteInSessionStream,
    ExecuteClientStream,
    ExecuteBidiStream,
    Lane,
    Health,
}

impl Method {
    fn path(self) -> &'static str {
        match self {
            Method::Execute => "/snakepit.SnakepitBridge/Execute",
            Method::ExecuteInSession => "/snakepit.SnakepitBridge/ExecuteInSession",
            Method::ExecuteStream => "/snakepit.SnakepitBridge/ExecuteStream",
            Method::ExecuteInSessionStream => "/snakepit.SnakepitBridge/ExecuteInSessionStream",
            Method::ExecuteClientStream => "/snakepit.SnakepitBridge/ExecuteClientStream",
            Method::ExecuteBidiStream => "/snakepit.SnakepitBridge/ExecuteBidiStream",
            Method::Lane => "/snakepit.SnakepitBridge/Lane",
            Method::Health => "/snakepit.SnakepitBridge/Health",
        }
    }
}

/// What it takes to begin an RPC. It keeps the channel open, but not the [`Connection`].
pub(crate) struct Rpcs {
    pub(crate) channel: Channel,
    pub(crate) authorization: Option<MetadataValue<Ascii>>,
    /// Bytes of one message.
    pub(crate) limit: usize,
}

impl Rpcs {
    /// Begins an RPC whose request is one message.
    pub(crate) async fn ask<R: Message + Default>(
        self,
        method: Method,
        message: impl Message + 'static,
        time_limit: Option<Duration>,
    ) -> Result<Incoming<R>, Status> {
        let messages = stream::once(std::future::ready(Ok(message)));
        self.begin(method, messages, time_limit).await
    }

    /// Begins an RPC; returns when the peer has.
    pub(crate) async fn begin<M: Message + 'static, R: Message + Default>(
        mut self,
        method: Method,
        messages: impl Stream<Item = Result<M, Status>> + Send + Unpin + 'static,
        time_limit: Option<Duration>,
    ) -> Result<Incoming<R>, Status> {
        let body = Body::new(Outgoing::new(Side::Client, messages));
        let mut request = http::Request::new(body);
        *request.version_mut() = Version::HTTP_2;
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(method.path());
        *request.headers_mut() = self.headers(time_limit);
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        let content_type = HeaderValue::from_static("application/grpc");
        request.headers_mut().insert(CONTENT_TYPE, content_type);

        let response = async {
            std::future::poll_fn(|context| self.channel.poll_ready(context)).await?;
            self.channel.call(request).await
        };
        let response = response.await.map_err(|error| Status::from_error(Box::new(error)))?;
        Incoming::new(response, self.limit)
    }

    /// The peer is told of a little more time than the call may take: our own clock is to say that
    /// it is over, and tonic's or the peer's to catch what it misses.
    fn headers(&self, time_limit: Option<Duration>) -> HeaderMap {
        let mut request = tonic::Request::new(());
        if let Some(limit) = time_limit {
            request.set_timeout(limit.saturating_add(DEADLINE_GRACE));
        }
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request.into_parts().0.into_headers()
    }
}

/// The only message of a response, once its trailers have said that the call went well.
pub(crate) async fn only<R: Message + Default>(mut response: Incoming<R>) -> Result<R, Status> {
    let Some(message) = response.message().await? else {
        return Err(Status::internal("a response without a message"));
    };
    match response.message().await? {
        None => Ok(message),
        Some(_) => Err(Status::internal("a response of more than one message")),
    }
}
