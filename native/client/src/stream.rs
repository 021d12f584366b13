use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use snakepit_protocol::chunk_size;
use snakepit_protocol::pb::{ExecuteResponse, StreamResponse, StreamShape};
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;

use crate::request::Message;
use crate::uplink::Messages;
use crate::{CallError, Connection, Pace, Request, Uplink};

/// At most so many chunks go to the consumer in one piece ...
const BATCH: usize = 64;
/// ... and, but for the last of them, so many bytes: what it has consumed is acknowledged and
/// cleared away piece by piece.
const BATCH_BYTES: usize = 1024 * 1024;

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

/// Which RPC a stream is, for a peer that keeps no credit; with the others it is always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One request, many chunks.
    Server,
    /// Many chunks in, one result: it arrives as the final chunk.
    Client,
    /// Chunks in both directions.
    Bidi,
}

impl From<Shape> for StreamShape {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Server => StreamShape::Server,
            Shape::Client => StreamShape::Client,
            Shape::Bidi => StreamShape::Bidi,
        }
    }
}

/// One stream, ready to run.
#[derive(Debug)]
pub struct Stream {
    connection: Connection,
    opening: Opening,
    pace: Arc<Pace>,
    deadlines: Deadlines,
}

#[derive(Debug)]
enum Opening {
    Request(Box<Request>),
    Uplink(Arc<Uplink>, Shape),
}

impl Stream {
    /// A stream over an [`Uplink`], which holds its request.
    pub fn over_uplink(
        connection: Connection,
        uplink: Arc<Uplink>,
        shape: Shape,
        pace: Arc<Pace>,
        deadlines: Deadlines,
    ) -> Self {
        Stream { connection, opening: Opening::Uplink(uplink, shape), pace, deadlines }
    }

    /// A server stream from a peer that keeps no credit.
    pub fn plain(
        connection: Connection,
        request: Request,
        pace: Arc<Pace>,
        deadlines: Deadlines,
    ) -> Self {
        Stream { connection, opening: Opening::Request(Box::new(request)), pace, deadlines }
    }

    /// Runs the stream into `sink`. Dropping the future resets the stream.
    ///
    /// Ends with `Ok` after exactly one final chunk. An error of the handler arrives as the final
    /// chunk (with its error text in it) and then as the result.
    pub async fn run(self, sink: &mut impl Sink) -> Result<(), CallError> {
        let Stream { connection, opening, pace, deadlines } = self;
        let uplink = match &opening {
            Opening::Uplink(uplink, _) => Some(Arc::clone(uplink)),
            Opening::Request(_) => None,
        };
        // However this ends, the request side ends with it.
        let _cancelling = uplink.as_deref().map(Cancelling);
        let call = async {
            let limit = deadlines.call.map(|end| end.saturating_duration_since(Instant::now()));
            let chunks = match open(&connection, opening, limit).await? {
                Opened::Chunks(chunks) => chunks,
                Opened::Result(response) => return only(*response, sink),
            };
            let pump = Pump {
                chunks,
                pace: &pace,
                uplink: uplink.as_deref(),
                chunk_timeout: deadlines.chunk,
            };
            pump.run(sink).await
        };
        let finished = tokio::select! {
            biased;
            finished = connection.until_closed(call) => finished,
            () = reached(deadlines.call) => Err(CallError::DeadlineExceeded),
        };
        let result = finished?.settle().await;
        if let Some(uplink) = &uplink {
            uplink.close();
        }
        result
    }
}

/// Cancels the request side of a stream, unless it is closed before.
struct Cancelling<'a>(&'a Uplink);

impl Drop for Cancelling<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

enum Opened {
    Chunks(Box<Streaming<StreamResponse>>),
    Result(Box<ExecuteResponse>),
}

async fn open(
    connection: &Connection,
    opening: Opening,
    limit: Option<Duration>,
) -> Result<Opened, CallError> {
    let mut client = connection.client();
    let chunks = match opening {
        Opening::Uplink(uplink, Shape::Client) if !uplink.peer_keeps_credit() => {
            let request = exchange(connection, uplink, limit);
            let response = client.execute_client_stream(request).await?.into_inner();
            return Ok(Opened::Result(Box::new(response)));
        }
        Opening::Uplink(uplink, _) => {
            client.execute_bidi_stream(exchange(connection, uplink, limit)).await
        }
        Opening::Request(request) => match request.into_message() {
            Message::Execute(message) => {
                client.execute_stream(connection.request_of(message, limit)?).await
            }
            Message::Session(message) => {
                client.execute_in_session_stream(connection.request_of(message, limit)?).await
            }
        },
    };
    Ok(Opened::Chunks(Box::new(chunks?.into_inner())))
}

fn exchange(
    connection: &Connection,
    uplink: Arc<Uplink>,
    limit: Option<Duration>,
) -> tonic::Request<Messages> {
    let mut request = connection.request_within(Messages(Arc::clone(&uplink)), limit);
    uplink.reset_by(request.cancellation_handle());
    request
}

/// A stream that has had its last chunk: neither time nor the end of the worker change that.
struct Finished {
    result: Result<(), CallError>,
    rest: Option<Box<Streaming<StreamResponse>>>,
}

impl Finished {
    /// Reads the trailers, which stand right behind the final chunk: dropped before them, the
    /// stream would be reset instead of ended.
    async fn settle(self) -> Result<(), CallError> {
        if let Some(mut rest) = self.rest {
            let _ = tokio::time::timeout(TRAILERS, rest.next()).await;
        }
        self.result
    }
}

/// The one response of a client stream, as the final chunk it would be elsewhere.
fn only(response: ExecuteResponse, sink: &mut impl Sink) -> Result<Finished, CallError> {
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

struct Pump<'a> {
    chunks: Box<Streaming<StreamResponse>>,
    pace: &'a Pace,
    uplink: Option<&'a Uplink>,
    chunk_timeout: Option<Duration>,
}

impl Pump<'_> {
    async fn run(mut self, sink: &mut impl Sink) -> Result<Finished, CallError> {
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

async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
