use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use snakepit_protocol::{FRAME_SIZE, MAX_WINDOW, MESSAGE_OVERHEAD};
use tokio::sync::{oneshot, watch};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::connector::ToSocket;
use crate::driver::Driver;
use crate::peer::Peer;
use crate::reading::Reading;
use crate::rpc::Rpcs;
use crate::{CallError, Lane};

/// What the peer may send of one stream before it is read. Twice what credit grants by default: else
/// large values would be cut where the window ends, and copied to be whole again.
const STREAM_WINDOW: u32 = 8 * 1024 * 1024;

/// Says that the connection is closed, and by its own end that no handle of it is left.
pub(crate) type Closer = watch::Sender<bool>;

/// How to reach a worker.
#[derive(Debug, Clone)]
pub struct Options {
    /// `unix:/path` or `http://host:port`.
    pub target: String,
    /// Sent as `authorization: Bearer …` with every call.
    pub token: Option<String>,
    /// Bytes of one message, in either direction.
    pub max_message_size: usize,
    /// For TCP; a unix socket connects at once or not at all.
    pub connect_timeout: Duration,
    /// Names the worker in the log.
    pub worker_id: String,
}

/// One worker: its HTTP/2 channel, which connects at the first call and again after a failure,
/// and its lane once that is open. Clones share both, and the last one ends both; calls that are
/// under way keep one.
#[derive(Debug, Clone)]
pub struct Connection {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
    max_message_size: usize,
    lane: Arc<OnceLock<Arc<Lane>>>,
    peer_keeps_credit: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
    closed: Arc<Closer>,
    peer: Arc<Peer>,
    driver: Arc<Driver>,
}

impl Connection {
    /// Checks the options and prepares the channel; nothing is sent yet. Has to be called within
    /// a tokio runtime, which then carries the channel.
    pub fn new(options: &Options) -> Result<Self, CallError> {
        let path = options.target.strip_prefix("unix:");
        let reading = path.map(|_| Arc::new(Reading::new()));
        let driver = Driver::new(reading.clone());
        let endpoint = Endpoint::from_shared(options.target.clone())
            .map_err(|error| CallError::Unavailable(format!("{}: {error}", options.target)))?
            .connect_timeout(options.connect_timeout)
            .executor(driver.executor())
            .tcp_nodelay(true)
            // HTTP/2 guards against strangers by counting what a cancelled stream still brings, and
            // ends the connection, with every call on it, at a thousand. Our peer is our own worker.
            .http2_max_local_error_reset_streams(None)
            .max_frame_size(FRAME_SIZE)
            .initial_stream_window_size(STREAM_WINDOW)
            // The bound is each stream's own, so that one nobody reads holds up no other.
            .initial_connection_window_size(MAX_WINDOW);
        let authorization = options
            .token
            .as_ref()
            .map(|token| format!("Bearer {token}").parse())
            .transpose()
            .map_err(|_| CallError::Unavailable("the token is not printable ASCII".to_owned()))?;
        let channel = match path.zip(reading) {
            Some((path, reading)) => {
                endpoint.connect_with_connector_lazy(ToSocket { path: path.into(), reading })
            }
            None => endpoint.connect_lazy(),
        };
        tokio::spawn(Arc::clone(&driver).run());
        Ok(Connection {
            channel,
            authorization,
            max_message_size: options.max_message_size,
            lane: Arc::default(),
            peer_keeps_credit: Arc::default(),
            lost: Arc::default(),
            closed: Arc::new(Closer::new(false)),
            peer: Arc::new(Peer::new(options.worker_id.clone())),
            driver,
        })
    }

    /// Opens the lane if it was not opened before, and tells its end, for which nobody has to wait.
    /// It ends with the connection.
    pub fn open_lane(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let lane = Arc::new(Lane::new(self));
        self.lane.set(Arc::clone(&lane)).ok()?;
        let (open, ended) = oneshot::channel::<()>();
        let carried = lane.run(self);
        self.driver.carry(Box::pin(async move {
            carried.await;
            drop(open);
        }));
        Some(async move {
            let _ended = ended.await;
        })
    }

    /// The lane, while it is open.
    pub fn lane(&self) -> Option<&Arc<Lane>> {
        self.opened_lane().filter(|lane| lane.is_open())
    }

    /// The lane, be it closed since.
    pub fn opened_lane(&self) -> Option<&Arc<Lane>> {
        self.lane.get()
    }

    /// The peer has said that it keeps credit: streams begun from now on are exchanges under it.
    pub fn rely_on_credit(&self) {
        self.peer_keeps_credit.store(true, Ordering::Relaxed);
    }

    /// Whether the peer keeps credit on streams.
    pub fn peer_keeps_credit(&self) -> bool {
        self.peer_keeps_credit.load(Ordering::Relaxed)
    }

    /// A call has ended with the connection, or the peer has answered since: said before anybody
    /// hears of it.
    pub fn note_lost(&self, lost: bool) {
        self.lost.store(lost, Ordering::Release);
    }

    /// Whether a call has ended with the connection, and nobody has heard of the peer since.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The worker, as the log knows it.
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Whether values of `size` bytes may be sent in one message. Checked before the call: a peer
    /// that refuses in the middle of a message resets the stream, and nothing says why.
    pub fn check_size(&self, what: &str, size: usize) -> Result<(), CallError> {
        let limit = self.max_message_size;
        if size <= limit {
            return Ok(());
        }
        let text = format!("{what} of {size} bytes are over max_message_size, {limit} bytes");
        Err(CallError::TooLarge(text))
    }

    /// Ends every call on this connection with [`CallError::WorkerExited`], and every later one
    /// with [`CallError::Unavailable`].
    pub fn close(&self) {
        // At once: a caller would send before the lane's task has seen the end.
        if let Some(lane) = self.lane.get() {
            lane.refuse();
        }
        self.closed.send_replace(true);
    }

    /// What says that the connection is in use.
    pub(crate) fn closer(&self) -> &Arc<Closer> {
        &self.closed
    }

    pub(crate) fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    pub(crate) fn max_message_size(&self) -> usize {
        self.max_message_size
    }

    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Runs `call` unless the connection is closed meanwhile.
    pub(crate) async fn until_closed<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let _traffic = self.driver.traffic();
        let mut closed = self.closed();
        if *closed.borrow() {
            return Err(CallError::not_sent());
        }
        tokio::select! {
            biased;
            result = call => result.inspect_err(|error| self.note_lost_under(error)),
            // An error means that the sender is gone, and `self` holds it.
            _ = closed.wait_for(|closed| *closed) => Err(CallError::WorkerExited),
        }
    }

    fn note_lost_under(&self, error: &CallError) {
        if let CallError::WorkerExited = error {
            self.peer.is_lost("a call was on it");
        }
    }

    /// To begin an RPC with.
    pub(crate) fn rpcs(&self) -> Rpcs {
        Rpcs {
            channel: self.channel.clone(),
            authorization: self.authorization.clone(),
            limit: self.message_limit(),
        }
    }

    /// Bytes of one message, with what stands around its values. Those are checked before they are
    /// sent, and by the peer before they come.
    fn message_limit(&self) -> usize {
        self.max_message_size.saturating_add(MESSAGE_OVERHEAD)
    }

    /// The message, unless it is too large to be sent.
    pub(crate) fn checked<T: prost::Message>(&self, message: T) -> Result<T, CallError> {
        let (size, most) = (message.encoded_len(), self.message_limit());
        if size > most {
            let text = format!("a request of {size} bytes is over the {most} of one message");
            return Err(CallError::TooLarge(text));
        }
        Ok(message)
    }
}
