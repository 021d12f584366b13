use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};

/// After so many writes without waiting it is not watched any more whether the peer has room.
const EASY: u32 = 64;

/// A unix socket of which the runtime hears when there is something to read, but not each time its
/// peer has read something.
///
/// The system tells whoever watches whether a unix socket can be written about every message that
/// the peer takes out of it. tokio's own [`UnixStream`] always watches, so that each call
/// would wake the thread of its sender once for nothing; this one does while a write has to wait, and
/// for some more after that.
#[derive(Debug)]
pub struct Socket {
    stream: net::UnixStream,
    /// The same socket. A pipe's, because those are watched for one thing alone.
    reading: Receiver,
    /// The same socket, while it is watched for room.
    writing: Option<Sender>,
    /// The same socket, while it is not. Made with it: a descriptor may not be had when one is needed.
    spare: Option<OwnedFd>,
    /// Writes since the last that had to wait.
    easy: u32,
}

impl Socket {
    /// Takes over a connected socket. Has to be called within a tokio runtime, which then watches it.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let stream = stream.into_std()?;
        let reading = Receiver::from_owned_fd_unchecked(again(&stream)?)?;
        let spare = Some(again(&stream)?);
        Ok(Socket { stream, reading, writing: None, spare, easy: 0 })
    }

    fn poll_write_by(
        &mut self,
        context: &mut Context<'_>,
        unwatched: impl FnOnce(&mut &net::UnixStream) -> io::Result<usize>,
        watched: impl FnOnce(Pin<&mut Sender>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(spare) = self.spare.take() {
            match unwatched(&mut &self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writing = Some(Sender::from_owned_fd_unchecked(spare)?);
                }
                written => {
                    self.spare = Some(spare);
                    return Poll::Ready(written);
                }
            }
        }
        let Some(mut writing) = self.writing.take() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let written = watched(Pin::new(&mut writing), context);
        self.easy = if written.is_ready() { self.easy + 1 } else { 0 };
        if self.easy > EASY {
            (self.spare, self.easy) = (Some(writing.into_nonblocking_fd()?), 0);
        } else {
            self.writing = Some(writing);
        }
        written
    }
}

fn again(stream: &net::UnixStream) -> io::Result<OwnedFd> {
    Ok(stream.try_clone()?.into())
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reading).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(
            context,
            |stream| stream.write(data),
            |sender, context| sender.poll_write(context, data),
        )
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(
            context,
            |stream| stream.write_vectored(data),
            |sender, context| sender.poll_write_vectored(context, data),
        )
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}

#[cfg(feature = "server")]
impl tonic::transport::server::Connected for Socket {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}
