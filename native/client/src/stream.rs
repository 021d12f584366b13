use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use snakepit_protocol::pb::{ExecuteResponse, StreamResponse, StreamShape};
use snakepit_protocol::wire::Incoming;
use tokio::time::{Instant, sleep_until};

use crate::downlink::{Pump, Sink, only};
use crate::request::Message;
use crate::rpc::{self, Method};
use crate::{CallError, Connection, Pace, Request, Uplink};

/// When a stream has taken too long.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadlines {
    /// The end of the whole call.
    pub call: Option<Instant>,
    /// The longest silence of the worker while it may send.
    pub chunk: Option<Duration>,
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
    Chunks(Box<Incoming<StreamResponse>>),
    Result(Box<ExecuteResponse>),
}

async fn open(
    connection: &Connection,
    opening: Opening,
    limit: Option<Duration>,
) -> Result<Opened, CallError> {
    let rpcs = connection.rpcs();
    let chunks = match opening {
        Opening::Uplink(uplink, Shape::Client) if !uplink.peer_keeps_credit() => {
            let response =
                rpcs.begin(Method::ExecuteClientStream, uplink.messages(), limit).await?;
            return Ok(Opened::Result(Box::new(rpc::only(response).await?)));
        }
        Opening::Uplink(uplink, _) => {
            rpcs.begin(Method::ExecuteBidiStream, uplink.messages(), limit).await
        }
        Opening::Request(request) => match request.into_message() {
            Message::Execute(message) => {
                rpcs.ask(Method::ExecuteStream, connection.checked(message)?, limit).await
            }
            Message::Session(message) => {
                let message = connection.checked(message)?;
                rpcs.ask(Method::ExecuteInSessionStream, message, limit).await
            }
        },
    };
    Ok(Opened::Chunks(Box::new(chunks?)))
}

async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
