use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use snakepit_protocol::pb::FILE_DESCRIPTOR_SET;
use snakepit_protocol::pb::snakepit_bridge_server::SnakepitBridgeServer;
use snakepit_protocol::{FRAME_SIZE, MAX_WINDOW, MESSAGE_OVERHEAD, Socket};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Status};
use tracing::{debug, warn};

use crate::calls::Calls;
use crate::dispatcher::Dispatcher;
use crate::edge::Edge;
use crate::errands::Errands;
use crate::handlers::Handlers;
use crate::leadership::Leadership;
use crate::service::Bridge;
use crate::worker::Worker;
use crate::{control, inject, process};

/// After the parent has gone, a worker may take so long to end.
const ORPHAN_GRACE: Duration = Duration::from_secs(1);

/// ... of which its handlers have so long to clean up, and its `on_stop` hooks the rest.
const ORPHAN_FAREWELL: Duration = Duration::from_millis(500);

/// After the drain, the last answers may take so long to reach their peers.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

/// Handlers that go on after the drain are given so long before the process ends under them.
const LAST_HANDLERS: Duration = Duration::from_millis(100);

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Config {
    worker_id: String,
    socket: Option<String>,
    port: Option<u16>,
    token: Option<String>,
    capacity: usize,
    max_message_size: usize,
    cancel_grace_ms: u64,
    shutdown_timeout_ms: u64,
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Serves `dispatcher` until SIGTERM, or until the parent process has gone; then runs its
/// `on_stop` hooks and returns. Blocks the main thread, which runs the handlers that ask for it.
///
/// `config`: `worker_id` str, `socket` path or None, `port` int or None, `token` str or None,
/// `capacity` int, `max_message_size` bytes, `cancel_grace_ms` and `shutdown_timeout_ms` int.
/// Raises OSError when the address cannot be taken.
#[pyfunction]
pub(crate) fn serve(
    py: Python<'_>,
    dispatcher: Bound<'_, PyAny>,
    config: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let config: Config = config.extract()?;
    inject::prepare(py)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let leadership = Arc::new(Leadership::new(runtime));
    let handle = leadership.handle().clone();
    let (listener, address, terminate) = {
        let _context = handle.enter();
        let (listener, address) = listen(&config)?;
        // Before anybody can know that the worker serves, and tell it to stop.
        (listener, address, signal(SignalKind::terminate())?)
    };
    let grace = Duration::from_millis(config.cancel_grace_ms);
    let errands = Arc::new(Errands::default());
    let id = config.worker_id.clone();
    let calls = Calls::new(handle.clone(), Arc::clone(&errands), id, grace);
    let version = py.version_info();
    let worker = Arc::new(Worker {
        dispatcher: Dispatcher::new(dispatcher)?,
        handlers: Handlers::new(config.capacity, Arc::clone(&calls), Arc::clone(&leadership)),
        main_thread: Handlers::new(0, Arc::clone(&calls), Arc::clone(&leadership)),
        calls,
        leadership,
        max_message_size: config.max_message_size,
        started: Instant::now(),
        python_version: format!("{}.{}.{}", version.major, version.minor, version.patch),
        draining: AtomicBool::new(false),
        finished: watch::Sender::new(false),
        stopped: Notify::new(),
    });

    let handlers = Arc::downgrade(&worker.handlers);
    worker.calls.on_thread_given_up(move || {
        if let Some(handlers) = handlers.upgrade() {
            handlers.thread_given_up();
        }
    });
    let orphaned = Arc::new(AtomicBool::new(false));
    watch_parent(&worker, &orphaned);
    let drain = Duration::from_millis(config.shutdown_timeout_ms);
    let serving = handle.spawn(run(Arc::clone(&worker), listener, terminate, config.token, drain));
    let (sender, served) = mpsc::sync_channel(1);
    handle.spawn({
        let worker = Arc::clone(&worker);
        async move {
            let _ = sender.send(serving.await);
            worker.stop();
            worker.leadership.finish();
        }
    });
    let leadership = Arc::clone(&worker.leadership);
    let io = std::thread::Builder::new().name("snakepit-io".to_owned()).spawn(move || {
        leadership.stand_by();
        leadership.shut_down();
    })?;
    let ready = format!(
        "{{\"event\":\"ready\",\"os_pid\":{},\"address\":{}}}",
        std::process::id(),
        control::json_string(&address)
    );
    if process::to_parent().is_some() {
        control::tell_parent(&ready)?;
    } else {
        println!("Serves at {address} by native. Ctrl-C ends it.");
    }

    worker.main_thread.run(py, 0);
    let all_ended = py.detach(|| {
        let ended = io.join();
        worker.handlers.join(LAST_HANDLERS) && ended.is_ok()
    });
    worker.dispatcher.stop(py)?;
    if orphaned.load(Ordering::Acquire) {
        process::end_group();
    }
    if !(py.detach(|| errands.stop(LAST_HANDLERS)) && all_ended) {
        // A thread inside Python while the interpreter is taken down would bring a crash.
        py.run(c"import sys; sys.stdout.flush(); sys.stderr.flush()", None, None)?;
        std::process::exit(0);
    }
    match served.try_recv() {
        Ok(Ok(result)) => result.map_err(|error| PyOSError::new_err(error.to_string())),
        _ => Err(PyOSError::new_err("the server failed")),
    }
}

fn listen(config: &Config) -> PyResult<(Listener, String)> {
    match (&config.socket, config.port) {
        (Some(path), None) => {
            let listener = UnixListener::bind(path).map_err(|error| at_path(path, &error))?;
            std::fs::set_permissions(Path::new(path), std::fs::Permissions::from_mode(0o600))?;
            Ok((Listener::Unix(listener), format!("unix:{path}")))
        }
        (None, Some(port)) => {
            let listener = std::net::TcpListener::bind(("127.0.0.1", port))
                .map_err(|error| at_path(&format!("127.0.0.1:{port}"), &error))?;
            listener.set_nonblocking(true)?;
            let address = format!("http://{}", listener.local_addr()?);
            Ok((Listener::Tcp(TcpListener::from_std(listener)?), address))
        }
        _ => Err(PyValueError::new_err("exactly one of socket and port is needed")),
    }
}

fn at_path(address: &str, error: &io::Error) -> PyErr {
    PyOSError::new_err((error.raw_os_error(), format!("cannot listen on {address}: {error}")))
}

/// Serves until SIGTERM or, without a parent, Ctrl-C, then lets running calls finish for as long as `drain`.
async fn run(
    worker: Arc<Worker>,
    listener: Listener,
    mut terminate: Signal,
    token: Option<String>,
    drain: Duration,
) -> io::Result<()> {
    // With a parent, Ctrl-C in its terminal is the parent's to act on.
    let mut interrupt =
        process::to_parent().is_none().then(|| signal(SignalKind::interrupt())).transpose()?;
    // The limit is on values, checked where they are encoded; the framing comes on top.
    let limit = worker.max_message_size.saturating_add(MESSAGE_OVERHEAD);
    let bridge = SnakepitBridgeServer::new(Bridge::new(Arc::clone(&worker)))
        .max_decoding_message_size(limit)
        .max_encoding_message_size(limit);
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_serving::<SnakepitBridgeServer<Bridge>>().await;
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection = described().build_v1().map_err(io::Error::other)?;
    // What grpcio's own client and older grpcurls ask for.
    let old_reflection = described().build_v1alpha().map_err(io::Error::other)?;
    let expected = token.map(|token| format!("Bearer {token}"));
    let router = Server::builder()
        // Guards against strangers, which end the connection and every call on it: our peer is our
        // own client, and may cancel as many calls as it likes.
        .http2_max_pending_accept_reset_streams(Some(usize::MAX))
        .http2_max_local_error_reset_streams(None)
        .initial_connection_window_size(MAX_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .layer(tonic::service::InterceptorLayer::new(move |request| {
            authorize(request, expected.as_deref())
        }))
        .add_service(Edge(bridge))
        .add_service(health)
        .add_service(reflection)
        .add_service(old_reflection);
    let mut serving = pin!(async {
        let finished = async {
            let _ = worker.finished.subscribe().wait_for(|finished| *finished).await;
        };
        match listener {
            Listener::Unix(listener) => {
                let own = UnixListenerStream::new(listener).filter(is_own);
                let own = own.map(|stream| stream.and_then(Socket::new));
                router.serve_with_incoming_shutdown(own, finished).await
            }
            Listener::Tcp(listener) => {
                let connections = TcpListenerStream::new(listener).map(|stream| {
                    stream.inspect(|stream| {
                        let _ = stream.set_nodelay(true);
                    })
                });
                router.serve_with_incoming_shutdown(connections, finished).await
            }
        }
    });
    let drained = async {
        let interrupted = async {
            match &mut interrupt {
                Some(interrupt) => interrupt.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupted => {}
        }
        worker.draining.store(true, Ordering::Release);
        debug!("told to stop, with {} calls under way", worker.calls.active());
        let _ = tokio::time::timeout(drain, worker.calls.until_idle()).await;
    };
    let orphaned = async {
        worker.stopped.notified().await;
        // What interrupts the handlers runs here.
        let _ = tokio::time::timeout(ORPHAN_FAREWELL, worker.calls.until_idle()).await;
    };
    tokio::select! {
        result = &mut serving => return result.map_err(io::Error::other),
        () = orphaned => return Ok(()),
        () = drained => {}
    }
    worker.finished.send_replace(true);
    let _ = tokio::time::timeout(LAST_ANSWERS, serving).await;
    Ok(())
}

/// A connection of another user is closed unheard.
fn is_own(stream: &io::Result<UnixStream>) -> bool {
    let peer = stream.as_ref().map(UnixStream::peer_cred);
    let own = matches!(peer, Ok(Ok(peer)) if peer.uid() == geteuid().as_raw());
    if !own {
        warn!("a connection of another user is refused");
    }
    own
}

fn authorize(request: Request<()>, expected: Option<&str>) -> Result<Request<()>, Status> {
    let Some(expected) = expected else {
        return Ok(request);
    };
    let given = request.metadata().get("authorization").map(|value| value.as_bytes());
    if given.is_some_and(|given| constant_time_eq(given, expected.as_bytes())) {
        Ok(request)
    } else {
        warn!("a call is refused: the worker's token is missing or wrong");
        Err(Status::unauthenticated("the worker's token is missing or wrong"))
    }
}

fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// Without its parent the worker stops what runs and ends, and takes its children with it.
fn watch_parent(worker: &Arc<Worker>, orphaned: &Arc<AtomicBool>) {
    let (worker, orphaned) = (Arc::clone(worker), Arc::clone(orphaned));
    process::when_parent_goes(move || {
        orphaned.store(true, Ordering::Release);
        worker.draining.store(true, Ordering::Release);
        worker.calls.cancel_all();
        worker.stopped.notify_one();
        std::thread::sleep(ORPHAN_GRACE);
        process::end_group();
    });
}
