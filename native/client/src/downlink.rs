use std::future::pending;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use snakepit_protocol::chunk_size;
use snakepit_protocol::pb::{ExecuteResponse, StreamResponse};
use snakepit_protocol::wire::Incoming;

use crate::{CallError, Pace, Uplink};

/// At most so many chunks go to the consumer in one piece ...
const BATCH: usize = 64;
/// ... and, but for the last of them, so many bytes: what it has consumed is acknowledged and
/// cleared away piece by piece.
const BATCH_BYTES: usize = 1024 * 1024;

/// How long a peer may take from its final chunk to its trailers.
const TRAILERS: Duration = Duration::from_millis(100);

/// Where the chunks of a stream go.
pub trait Sink: Send {
    /// Takes one or more chunks that were ready together. Returns false when nobody wants more.
    fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool;
}

/// A stream that has had its last chunk: neither time nor the end of the worker change that.
pub(crate) struct Finished {
    result: Result<(), CallError>,
    rest: Option<Box<Incoming<StreamResponse>>>,
}

impl Finished {
    /// Reads the trailers, which stand right behind the final chunk: dropped before them, the
    /// stream would be reset instead of ended.
    pub(crate) async fn settle(self) -> Result<(), CallError> {
        if let Some(mut rest) = self.rest {
            let _ = tokio::time::timeout(TRAILERS, rest.next()).await;
        }
        self.result
    }
}

/// The one response of a client stream, as the final chunk it would be elsewhere.
pub(crate) fn only(response: ExecuteResponse, sink: &mut impl Sink) -> Result<Finished, CallError> {
    let success = response.success;
    let chunk = StreamResponse {
        is_final: true,
        chunk: response.result,
        error: response.error,
        timestamp: response.timestamp,
        codec: response.codec,
        detail: response.detail,
        ack: 0,
    };
    let result = if success { Ok(()) } else { Err(error_in(&chunk)) };
    if sink.chunks(vec![chunk]) {
        Ok(Finished { result, rest: None })
    } else {
        Err(CallError::Cancelled)
    }
}

/// Carries the chunks of one stream from the peer to the consumer.
pub(crate) struct Pump<'a> {
    pub(crate) chunks: Box<Incoming<StreamResponse>>,
    pub(crate) pace: &'a Pace,
    pub(crate) uplink: Option<&'a Uplink>,
    pub(crate) chunk_timeout: Option<Duration>,
}

impl Pump<'_> {
    /// Carries every chunk until the final one, or an error.
    pub(crate) async fn run(mut self, sink: &mut impl Sink) -> Result<Finished, CallError> {
        loop {
            self.pace.wait().await;
            let first = tokio::select! {
                biased;
                chunk = self.chunks.next() => chunk,
                () = silence(self.pace, self.chunk_timeout) => return Err(CallError::ChunkTimeout),
            };
            let (batch, end) = self.gather(first);
            if !batch.is_empty() && !sink.chunks(batch) {
                return Err(CallError::Cancelled);
            }
            if let Some(result) = end {
                return Ok(Finished { result, rest: Some(self.chunks) });
            }
        }
    }

    /// Adds to `first` what is ready behind it: a burst costs one message, and a single chunk is
    /// never held back.
    fn gather(
        &mut self,
        first: Option<Result<StreamResponse, tonic::Status>>,
    ) -> (Vec<StreamResponse>, Option<Result<(), CallError>>) {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = first;
        loop {
            match next {
                Some(Ok(chunk)) => {
                    self.note_acks(&chunk);
                    if !is_ack_only(&chunk) {
                        let size = chunk_size(&chunk.chunk);
                        self.pace.spend(size);
                        bytes += size;
                        let end = end_of(&chunk);
                        batch.push(chunk);
                        if end.is_some() {
                            return (batch, end);
                        }
                    }
                }
                Some(Err(status)) => return (batch, Some(Err(status.into()))),
                None => {
                    let error = "the stream ended without a final chunk".to_owned();
                    return (batch, Some(Err(CallError::Protocol(error))));
                }
            }
            if batch.len() == BATCH || bytes >= BATCH_BYTES || !self.pace.available() {
                return (batch, None);
            }
            match self.chunks.next().now_or_never() {
                Some(ready) => next = ready,
                None => return (batch, None),
            }
        }
    }

    fn note_acks(&self, chunk: &StreamResponse) {
        if let Some(uplink) = self.uplink
            && chunk.ack > 0
        {
            uplink.acknowledged(chunk.ack as usize);
        }
    }
}

fn is_ack_only(chunk: &StreamResponse) -> bool {
    chunk.ack > 0 && chunk.chunk.is_empty() && end_of(chunk).is_none()
}

fn end_of(chunk: &StreamResponse) -> Option<Result<(), CallError>> {
    if !chunk.error.is_empty() || chunk.detail.is_some() {
        return Some(Err(error_in(chunk)));
    }
    chunk.is_final.then_some(Ok(()))
}

fn error_in(chunk: &StreamResponse) -> CallError {
    CallError::from_response(chunk.error.clone(), chunk.detail.clone())
}

/// Ends when the peer has said nothing for as long as it may. The time in which it has no
/// credit is not its own.
async fn silence(pace: &Pace, limit: Option<Duration>) {
    match limit {
        Some(limit) => {
            pace.peer_may_send().await;
            tokio::time::sleep(limit).await;
        }
        None => pending().await,
    }
}
