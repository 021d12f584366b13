//! What the tests of the client share: a scripted [`peer`], the [`wire`] to it, runtimes to run in, and sinks.
#![allow(dead_code, unreachable_pub)]

pub mod lane;
pub mod peer;
pub mod wire;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use snakepit_client::{
    CallError, Connection, Deadlines, Health, Pace, Request, Shape, Sink, Stream, Uplink, health,
};
use snakepit_protocol::pb::{Entry, ExecuteResponse, StreamResponse};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A test that takes longer hangs.
const HUNG: Duration = Duration::from_secs(60);

/// Runs a test on several threads, by the real clock.
pub fn live(test: impl Future<Output = ()>) {
    let _watchdog = Watchdog::start();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

/// Runs a test on one thread whose clock stands still until the test advances it: what is said
/// of deadlines then holds however slow the machine is. The peer has a runtime of its own.
pub fn frozen(test: impl Future<Output = ()>) {
    let _watchdog = Watchdog::start();
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // A paused clock advances by itself whenever all tasks wait, but not beside a blocking one.
    let (release, held) = channel::<()>();
    runtime.spawn_blocking(move || held.recv());
    runtime.block_on(test);
    drop(release);
}

/// Runs a test that has its runtimes itself.
pub fn watched(test: impl FnOnce()) {
    let _watchdog = Watchdog::start();
    test();
}

/// Ends the process of a test that hangs: its clock may stand still, so tokio cannot.
struct Watchdog(#[allow(dead_code)] Sender<()>);

impl Watchdog {
    fn start() -> Self {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        let (running, ended) = channel();
        std::thread::spawn(move || {
            if ended.recv_timeout(HUNG) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs");
                std::process::abort();
            }
        });
        Watchdog(running)
    }
}

pub fn request(command: &str) -> Request {
    Request { command: command.to_owned(), ..Request::default() }
}

pub fn entry(key: &str, value: impl Into<Bytes>) -> Entry {
    Entry::new(Bytes::copy_from_slice(key.as_bytes()), value)
}

/// A chunk that holds one number.
pub fn chunk(number: usize) -> StreamResponse {
    StreamResponse { chunk: vec![numbered(number)], ..StreamResponse::default() }
}

pub fn numbered(number: usize) -> Entry {
    entry("n", number.to_string())
}

/// A chunk with so many bytes in it.
pub fn chunk_of(bytes: usize) -> StreamResponse {
    StreamResponse { chunk: vec![entry("data", vec![0; bytes])], ..StreamResponse::default() }
}

pub fn last() -> StreamResponse {
    StreamResponse { is_final: true, ..StreamResponse::default() }
}

pub fn ack(chunks: u32) -> StreamResponse {
    StreamResponse { ack: chunks, ..StreamResponse::default() }
}

/// The number in a chunk.
pub fn number(entries: &[Entry]) -> usize {
    std::str::from_utf8(&entries[0].value).unwrap().parse().unwrap()
}

pub fn response(entries: Vec<Entry>) -> ExecuteResponse {
    ExecuteResponse { success: true, result: entries, ..ExecuteResponse::default() }
}

/// A round trip over the connection: what was sent before it has arrived after it.
pub async fn round_trip(connection: &Connection) -> Health {
    health(connection, Duration::from_secs(3600)).await.unwrap()
}

/// A stream under way.
pub struct Running {
    /// What the sink was given, piece by piece. Dropped, the sink wants no more.
    pub batches: mpsc::UnboundedReceiver<Vec<StreamResponse>>,
    pub task: JoinHandle<Result<(), CallError>>,
}

struct Tap(mpsc::UnboundedSender<Vec<StreamResponse>>);

impl Sink for Tap {
    fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool {
        self.0.send(chunks).is_ok()
    }
}

impl Running {
    pub fn start(stream: Stream) -> Self {
        let (sender, batches) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move { stream.run(&mut Tap(sender)).await });
        Running { batches, task }
    }

    /// A server stream from a peer without credit.
    pub fn plain(connection: &Connection, pace: &Arc<Pace>, deadlines: Deadlines) -> Self {
        let (connection, pace) = (connection.clone(), Arc::clone(pace));
        Self::start(Stream::plain(connection, request("count"), pace, deadlines))
    }

    /// A stream from a peer that keeps credit.
    pub fn over(
        connection: &Connection,
        uplink: &Arc<Uplink>,
        shape: Shape,
        deadlines: Deadlines,
    ) -> Self {
        let (connection, uplink) = (connection.clone(), Arc::clone(uplink));
        let pace = Arc::new(Pace::Peer(Arc::clone(&uplink)));
        Self::start(Stream::over_uplink(connection, uplink, shape, pace, deadlines))
    }

    /// The next piece; None when no more will come.
    pub async fn batch(&mut self) -> Option<Vec<StreamResponse>> {
        self.batches.recv().await
    }

    /// The next chunk of a stream whose chunks come one by one.
    pub async fn chunk(&mut self) -> StreamResponse {
        let mut batch = self.batch().await.unwrap();
        assert_eq!(batch.len(), 1, "chunks that were not sent together: {batch:?}");
        batch.remove(0)
    }

    /// All chunks that are still to come, and the result.
    pub async fn end(mut self) -> (Vec<StreamResponse>, Result<(), CallError>) {
        let mut chunks = Vec::new();
        while let Some(batch) = self.batch().await {
            chunks.extend(batch);
        }
        (chunks, self.task.await.unwrap())
    }
}
