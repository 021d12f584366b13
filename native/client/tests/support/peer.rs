//! A worker whose part the test plays: a real server on a unix socket, which hands every call
//! that arrives to the test and sends what the test answers.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_core::Stream;
use snakepit_client::{Connection, Options};
use snakepit_protocol::pb::snakepit_bridge_server::{SnakepitBridge, SnakepitBridgeServer};
use snakepit_protocol::pb::{
    ExecuteRequest, ExecuteResponse, HealthRequest, HealthResponse, LaneReply, LaneRequest,
    SessionRequest, StreamRequest, StreamResponse,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::{UnboundedReceiverStream, UnixListenerStream};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Far above what the tests send.
pub const LIMIT: usize = 64 * 1024 * 1024;

pub type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The server, and the calls that have arrived.
pub struct Peer {
    socket: PathBuf,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    headers: Arc<Mutex<Vec<MetadataMap>>>,
    health: Arc<HealthGate>,
    pub executes: Arrivals<ExecuteRequest, ExecuteResponse>,
    pub sessions: Arrivals<SessionRequest, ExecuteResponse>,
    pub streams: Arrivals<ExecuteRequest, Messages<StreamResponse>>,
    pub session_streams: Arrivals<SessionRequest, Messages<StreamResponse>>,
    pub client_streams: Arrivals<Streaming<StreamRequest>, ExecuteResponse>,
    pub exchanges: Arrivals<Streaming<StreamRequest>, Messages<StreamResponse>>,
    pub lanes: Arrivals<Streaming<LaneRequest>, Messages<LaneReply>>,
}

/// The calls of one method, in the order of their arrival.
pub struct Arrivals<Q, R>(mpsc::UnboundedReceiver<Arrival<Q, R>>);

/// One call, which waits for its answer.
pub struct Arrival<Q, R> {
    pub request: Q,
    answer: oneshot::Sender<Result<R, Status>>,
}

/// The messages of a stream to the client. Dropping it ends the stream in good order.
pub struct Outlet<T>(mpsc::UnboundedSender<Result<T, Status>>);

impl<Q, R> Arrivals<Q, R> {
    pub async fn next(&mut self) -> Arrival<Q, R> {
        self.0.recv().await.expect("the peer has stopped")
    }

    /// Whether no call has arrived that was not taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<Q, R> Arrival<Q, R> {
    pub fn answer(self, answer: Result<R, Status>) {
        let _ = self.answer.send(answer);
    }

    /// Waits until the client no longer wants the answer.
    pub async fn dropped(mut self) {
        self.answer.closed().await;
    }
}

impl<Q, T: Send + 'static> Arrival<Q, Messages<T>> {
    /// Sends the headers; the messages go through the outlet.
    pub fn accept(self) -> (Q, Outlet<T>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let _ = self.answer.send(Ok(Box::pin(UnboundedReceiverStream::new(receiver))));
        (self.request, Outlet(sender))
    }
}

impl<T> Outlet<T> {
    pub fn send(&self, message: T) {
        let _ = self.0.send(Ok(message));
    }

    pub fn fail(self, status: Status) {
        let _ = self.0.send(Err(status));
    }

    /// Whether the stream was reset by the client, or is broken.
    pub fn is_dropped(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits until the stream is reset by the client, or broken.
    pub async fn dropped(&self) {
        self.0.closed().await;
    }
}

impl Peer {
    pub fn start() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = format!("snakepit-client-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        let socket = directory.join("peer.sock");
        // Left behind by a run that was killed, whose process had the same number.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();

        let (executes, for_executes) = mpsc::unbounded_channel();
        let (sessions, for_sessions) = mpsc::unbounded_channel();
        let (streams, for_streams) = mpsc::unbounded_channel();
        let (session_streams, for_session_streams) = mpsc::unbounded_channel();
        let (client_streams, for_client_streams) = mpsc::unbounded_channel();
        let (exchanges, for_exchanges) = mpsc::unbounded_channel();
        let (lanes, for_lanes) = mpsc::unbounded_channel();
        let health = Arc::new(HealthGate::default());
        let bridge = Bridge {
            executes,
            sessions,
            streams,
            session_streams,
            client_streams,
            exchanges,
            lanes,
            health: Arc::clone(&health),
        };
        let headers = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("peer".to_owned()).spawn({
            let headers = Arc::clone(&headers);
            move || serve(listener, bridge, headers, stopped)
        });
        Peer {
            socket,
            server: Some((stop, thread.unwrap())),
            headers,
            health,
            executes: Arrivals(for_executes),
            sessions: Arrivals(for_sessions),
            streams: Arrivals(for_streams),
            session_streams: Arrivals(for_session_streams),
            client_streams: Arrivals(for_client_streams),
            exchanges: Arrivals(for_exchanges),
            lanes: Arrivals(for_lanes),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// Of this peer alone, and gone with it.
    pub fn directory(&self) -> &Path {
        self.socket.parent().unwrap()
    }

    pub fn options(&self) -> Options {
        Options {
            target: format!("unix:{}", self.socket.display()),
            token: None,
            max_message_size: LIMIT,
            connect_timeout: Duration::from_secs(10),
            worker_id: "peer".to_owned(),
        }
    }

    pub fn connection(&self) -> Connection {
        Connection::new(&self.options()).unwrap()
    }

    /// What stood in `authorization`, of every call so far.
    pub fn tokens(&self) -> Vec<Option<String>> {
        self.header("authorization")
    }

    /// What stood in `grpc-timeout`, of every call so far.
    pub fn timeouts(&self) -> Vec<Option<String>> {
        self.header("grpc-timeout")
    }

    fn header(&self, name: &str) -> Vec<Option<String>> {
        let headers = self.headers.lock().unwrap();
        let text = |value: &MetadataValue<Ascii>| value.to_str().unwrap().to_owned();
        headers.iter().map(|headers| headers.get(name).map(text)).collect()
    }

    /// Answers no health call from now on.
    pub fn hold(&self) {
        self.health.holding.store(true, Ordering::SeqCst);
    }

    /// Waits until a health call is held.
    pub async fn held(&self) {
        self.health.held.notified().await;
    }

    /// Dies: every connection breaks, and new ones are refused.
    pub fn die(&mut self) {
        if let Some((stop, thread)) = self.server.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.die();
        let _ = std::fs::remove_dir_all(self.directory());
    }
}

/// With a runtime of its own, whose end closes every connection at once.
fn serve(
    listener: UnixListener,
    bridge: Bridge,
    headers: Arc<Mutex<Vec<MetadataMap>>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        let bridge = SnakepitBridgeServer::new(bridge)
            .max_decoding_message_size(LIMIT)
            .max_encoding_message_size(2 * LIMIT);
        let noting = move |request: Request<()>| {
            headers.lock().unwrap().push(request.metadata().clone());
            Ok(request)
        };
        let serving = Server::builder()
            // A stream that the test does not read holds up no other.
            .initial_connection_window_size((1 << 31) - 1)
            .layer(tonic::service::InterceptorLayer::new(noting))
            .add_service(bridge)
            .serve_with_incoming(UnixListenerStream::new(listener));
        tokio::select! {
            result = serving => result.unwrap(),
            _ = stopped => {}
        }
    });
}

#[derive(Default)]
struct HealthGate {
    holding: AtomicBool,
    held: Notify,
}

struct Bridge {
    health: Arc<HealthGate>,
    executes: mpsc::UnboundedSender<Arrival<ExecuteRequest, ExecuteResponse>>,
    sessions: mpsc::UnboundedSender<Arrival<SessionRequest, ExecuteResponse>>,
    streams: mpsc::UnboundedSender<Arrival<ExecuteRequest, Messages<StreamResponse>>>,
    session_streams: mpsc::UnboundedSender<Arrival<SessionRequest, Messages<StreamResponse>>>,
    client_streams: mpsc::UnboundedSender<Arrival<Streaming<StreamRequest>, ExecuteResponse>>,
    exchanges: mpsc::UnboundedSender<Arrival<Streaming<StreamRequest>, Messages<StreamResponse>>>,
    lanes: mpsc::UnboundedSender<Arrival<Streaming<LaneRequest>, Messages<LaneReply>>>,
}

async fn hand_over<Q, R>(
    arrivals: &mpsc::UnboundedSender<Arrival<Q, R>>,
    request: Request<Q>,
) -> Result<Response<R>, Status> {
    let (answer, answered) = oneshot::channel();
    let arrival = Arrival { request: request.into_inner(), answer };
    arrivals.send(arrival).map_err(|_| Status::internal("the test is over"))?;
    // A test that drops the call never answers it.
    match answered.await {
        Ok(answer) => answer.map(Response::new),
        Err(_) => std::future::pending().await,
    }
}

#[tonic::async_trait]
impl SnakepitBridge for Bridge {
    type ExecuteStreamStream = Messages<StreamResponse>;
    type ExecuteInSessionStreamStream = Messages<StreamResponse>;
    type ExecuteBidiStreamStream = Messages<StreamResponse>;
    type LaneStream = Messages<LaneReply>;

    async fn execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        hand_over(&self.executes, request).await
    }

    async fn execute_in_session(
        &self,
        request: Request<SessionRequest>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        hand_over(&self.sessions, request).await
    }

    async fn execute_stream(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<Messages<StreamResponse>>, Status> {
        hand_over(&self.streams, request).await
    }

    async fn execute_in_session_stream(
        &self,
        request: Request<SessionRequest>,
    ) -> Result<Response<Messages<StreamResponse>>, Status> {
        hand_over(&self.session_streams, request).await
    }

    /// Answered at once, unless held: one round trip over the connection.
    async fn health(
        &self,
        _request: Request<HealthRequest>,
    ) -> Result<Response<HealthResponse>, Status> {
        if self.health.holding.load(Ordering::SeqCst) {
            self.health.held.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(Response::new(HealthResponse { healthy: true, ..HealthResponse::default() }))
    }

    async fn lane(
        &self,
        request: Request<Streaming<LaneRequest>>,
    ) -> Result<Response<Messages<LaneReply>>, Status> {
        hand_over(&self.lanes, request).await
    }

    async fn execute_client_stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        hand_over(&self.client_streams, request).await
    }

    async fn execute_bidi_stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Messages<StreamResponse>>, Status> {
        hand_over(&self.exchanges, request).await
    }
}
