//! Streams under credit: the peer's chunks to the consumer, and the caller's to the peer.

use std::sync::Arc;

use snakepit_client::{Connection, Deadlines, Pace, Request, Sent, Shape, Sink, Stream, Uplink};
use snakepit_protocol::pb::{Codec, Entry, StreamResponse};
use tokio::sync::Notify;

use crate::entries::{KIB, MIB, data};
use crate::measure::{Counting, Failure, Paths};
use crate::messages::chunk;
use crate::peer::{Script, connect, framed};

/// What Elixir gives where the caller says nothing.
const WINDOW: usize = 256;
const MAX_BUFFER: usize = 4 * MIB;

/// As much as our worker sends in one piece.
const PIECE: usize = 32 * KIB;

pub(crate) async fn run(paths: &Paths) -> Result<(), Failure> {
    downlink(paths, "stream/one chunk, whole", 1, 10).await?;
    downlink(paths, "stream/chunk of 10 B", 10_000, 10).await?;
    downlink(paths, "stream/chunk of 1 KiB", 5_000, KIB).await?;
    downlink(paths, "stream/chunk of 1 MiB", 50, MIB).await?;
    upwards(paths, "uplink/chunk of 10 B", 5_000, 10).await?;
    upwards(paths, "uplink/chunk of 1 MiB", 20, MIB).await
}

async fn downlink(paths: &Paths, name: &str, chunks: usize, size: usize) -> Result<(), Failure> {
    if !paths.wants(name) {
        return Ok(());
    }
    let message = framed(&chunk(size));
    let together = (PIECE / message.len()).clamp(1, chunks);
    let times = chunks / together;
    let chunks = times * together;
    let connection = connect(Script::Chunks { messages: message.repeat(together), times })?;
    // A stream of few chunks is counted often enough to tell.
    let streams = (100 / chunks).max(1);
    for _ in 0..streams {
        consume(&connection, request("bench_stream"), chunks).await?;
    }
    let counting = Counting::start();
    for _ in 0..streams {
        consume(&connection, request("bench_stream"), chunks).await?;
    }
    counting.stop(name, (streams * chunks) as u64);
    Ok(())
}

async fn upwards(paths: &Paths, name: &str, chunks: usize, size: usize) -> Result<(), Failure> {
    if !paths.wants(name) {
        return Ok(());
    }
    let connection = connect(Script::Uplink)?;
    let chunk = data(size);
    give(&connection, chunks, &chunk).await?;
    let counting = Counting::start();
    give(&connection, chunks, &chunk).await?;
    counting.stop(name, chunks as u64);
    Ok(())
}

pub(crate) fn request(command: &str) -> Request {
    Request {
        command: command.to_owned(),
        codec: Codec::Msgpack,
        timeout_ms: 300_000,
        ..Request::default()
    }
}

/// Runs a stream of so many chunks whose consumer is done with each piece at once.
pub(crate) async fn consume(
    connection: &Connection,
    request: Request,
    chunks: usize,
) -> Result<(), Failure> {
    let uplink = Uplink::new(request, Shape::Server, true, WINDOW, MAX_BUFFER, || {});
    let received = run_over(connection, uplink, Shape::Server).await?;
    if received != chunks {
        return Err(format!("{received} chunks came, not {chunks}").into());
    }
    Ok(())
}

async fn run_over(
    connection: &Connection,
    uplink: Arc<Uplink>,
    shape: Shape,
) -> Result<usize, Failure> {
    let pace = Arc::new(Pace::Peer(Arc::clone(&uplink)));
    let mut consumer = Consumer { pace: Arc::clone(&pace), received: 0 };
    let deadlines = Deadlines::default();
    let stream = Stream::over_uplink(connection.clone(), uplink, shape, pace, deadlines);
    stream.run(&mut consumer).await?;
    Ok(consumer.received)
}

struct Consumer {
    pace: Arc<Pace>,
    received: usize,
}

impl Sink for Consumer {
    fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool {
        self.received += chunks.iter().filter(|chunk| !chunk.is_final).count();
        self.pace.acknowledge(chunks.len());
        true
    }
}

async fn give(connection: &Connection, chunks: usize, chunk: &[Entry]) -> Result<(), Failure> {
    let room = Arc::new(Notify::new());
    let on_room = {
        let room = Arc::clone(&room);
        move || room.notify_one()
    };
    let request = request("bench_sink");
    let uplink = Uplink::new(request, Shape::Client, true, WINDOW, MAX_BUFFER, on_room);
    let giving = async {
        for _ in 0..chunks {
            match uplink.send(chunk.to_vec()) {
                Sent::Room => {}
                Sent::Full => room.notified().await,
                Sent::Over => break,
            }
        }
        uplink.half_close();
    };
    let running = run_over(connection, Arc::clone(&uplink), Shape::Client);
    let (received, ()) = tokio::join!(running, giving);
    received.map(drop)
}
