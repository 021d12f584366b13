use std::future::pending;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use prost::Message as _;
use snakepit_protocol::pb::StreamResponse;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;

use crate::request::Message;
use crate::{CallError, Connection, Credit, Request};

/// At most so many chunks go to the consumer in one piece.
const BATCH: usize = 64;

/// How long a peer may take from its final chunk to its trailers.
const TRAILERS: Duration = Duration::from_millis(100);

/// When a stream has taken too long.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadlines {
    /// The end of the whole call.
    pub call: Option<Instant>,
    /// The longest silence of the worker while it may send.
    pub chunk: Option<Duration>,
}

/// Where the chunks of a stream go.
pub trait Sink: Send {
    /// Takes one or more chunks that were ready together. Returns false when nobody wants more.
    fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool;
}

/// Runs one server stream into `sink`, reading a message only while there is `credit` for it: a
/// slow consumer closes the HTTP/2 window, and the Python generator is not asked for its next
/// item. Dropping the future resets the stream.
///
/// Ends with `Ok` after exactly one final chunk. An error of the handler arrives as the final
/// chunk (with its error text in it) and then as the result.
pub async fn stream(
    connection: &Connection,
    request: Request,
    credit: &Credit,
    deadlines: Deadlines,
    sink: &mut impl Sink,
) -> Result<(), CallError> {
    let mut client = connection.client();
    let call = async move {
        let opened = match request.into_message() {
            Message::Execute(message) => client.execute_stream(connection.request(message)).await,
            Message::Session(message) => {
                client.execute_in_session_stream(connection.request(message)).await
            }
        };
        Pump { chunks: opened?.into_inner(), credit, chunk_timeout: deadlines.chunk }
            .run(sink)
            .await
    };
    tokio::select! {
        biased;
        result = connection.until_closed(call) => result,
        () = reached(deadlines.call) => Err(CallError::DeadlineExceeded),
    }
}

struct Pump<'a> {
    chunks: Streaming<StreamResponse>,
    credit: &'a Credit,
    chunk_timeout: Option<Duration>,
}

impl Pump<'_> {
    async fn run(mut self, sink: &mut impl Sink) -> Result<(), CallError> {
        loop {
            self.credit.wait().await;
            let silence_ends = self.chunk_timeout.map(|silence| Instant::now() + silence);
            let first = tokio::select! {
                biased;
                chunk = self.chunks.next() => chunk,
                () = reached(silence_ends) => return Err(CallError::ChunkTimeout),
            };
            let (batch, end) = self.gather(first);
            if !batch.is_empty() && !sink.chunks(batch) {
                return Err(CallError::Cancelled);
            }
            if let Some(result) = end {
                self.settle().await;
                return result;
            }
        }
    }

    /// Reads the trailers, which stand right behind the final chunk: dropped before them, the
    /// stream would be reset instead of ended.
    async fn settle(&mut self) {
        let _ = tokio::time::timeout(TRAILERS, self.chunks.next()).await;
    }

    /// Adds to `first` what is ready behind it: a burst costs one message, and a single chunk is
    /// never held back.
    fn gather(
        &mut self,
        first: Option<Result<StreamResponse, tonic::Status>>,
    ) -> (Vec<StreamResponse>, Option<Result<(), CallError>>) {
        let mut batch = Vec::new();
        let mut next = first;
        loop {
            match next {
                Some(Ok(chunk)) => {
                    self.credit.spend(chunk.encoded_len());
                    let end = end_of(&chunk);
                    batch.push(chunk);
                    if end.is_some() {
                        return (batch, end);
                    }
                }
                Some(Err(status)) => return (batch, Some(Err(status.into()))),
                None => {
                    let error = "the stream ended without a final chunk".to_owned();
                    return (batch, Some(Err(CallError::Protocol(error))));
                }
            }
            if batch.len() == BATCH || !self.credit.available() {
                return (batch, None);
            }
            match self.chunks.next().now_or_never() {
                Some(ready) => next = ready,
                None => return (batch, None),
            }
        }
    }
}

fn end_of(chunk: &StreamResponse) -> Option<Result<(), CallError>> {
    if !chunk.error.is_empty() || chunk.detail.is_some() {
        let error = CallError::from_response(chunk.error.clone(), chunk.detail.clone());
        return Some(Err(error));
    }
    chunk.is_final.then_some(Ok(()))
}

async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
