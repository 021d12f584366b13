use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper_util::rt::TokioIo;
use snakepit_protocol::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

use crate::reading::Reading;

/// Connects to the unix socket at this path, whatever the URI says.
pub(crate) struct ToSocket {
    pub(crate) path: PathBuf,
    pub(crate) reading: Arc<Reading>,
}

impl Service<Uri> for ToSocket {
    type Response = TokioIo<Measured>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Measured>>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let (path, reading) = (self.path.clone(), Arc::clone(&self.reading));
        Box::pin(async move {
            let socket = Socket::new(UnixStream::connect(path).await?)?;
            reading.begins(socket.stream());
            Ok(TokioIo::new(Measured { socket, reading }))
        })
    }
}

/// A socket that is read as far as there is appetite, and watched or not.
pub(crate) struct Measured {
    socket: Socket,
    reading: Arc<Reading>,
}

impl AsyncRead for Measured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reading.is_sated() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if self.reading.is_watched() {
            ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        } else {
            let read = self.socket.poll_read_unwatched(buffer);
            if read.is_pending() {
                self.reading.rests(context.waker());
            }
            ready!(read)?;
        }
        self.reading.eat(buffer.filled().len() - before);
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
