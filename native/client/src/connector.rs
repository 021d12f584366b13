use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use hyper_util::rt::TokioIo;
use snakepit_protocol::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

/// Connects to the unix socket at this path, whatever the URI says.
pub(crate) struct ToSocket {
    pub(crate) path: PathBuf,
    pub(crate) appetite: Arc<Appetite>,
}

/// About how many more bytes of a connection are read at a time: the peer may send as fast as they
/// are read.
pub(crate) struct Appetite(AtomicUsize);

impl Appetite {
    pub(crate) fn new() -> Self {
        Appetite(AtomicUsize::new(usize::MAX))
    }

    // Whoever sets it and whoever reads holds the driver's lock.
    pub(crate) fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn is_sated(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn eat(&self, bytes: usize) {
        self.set(self.0.load(Ordering::Relaxed).saturating_sub(bytes));
    }
}

impl Service<Uri> for ToSocket {
    type Response = TokioIo<Measured>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Measured>>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let (path, appetite) = (self.path.clone(), Arc::clone(&self.appetite));
        Box::pin(async move {
            let socket = Socket::new(UnixStream::connect(path).await?)?;
            Ok(TokioIo::new(Measured { socket, appetite }))
        })
    }
}

/// A socket that is read as far as there is appetite.
pub(crate) struct Measured {
    socket: Socket,
    appetite: Arc<Appetite>,
}

impl AsyncRead for Measured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.appetite.is_sated() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        self.appetite.eat(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Measured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
