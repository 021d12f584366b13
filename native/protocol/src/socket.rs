use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};

/// After so many writes without waiting it is not watched any more whether the peer has room.
const EASY: u32 = 64;

/// Bytes that are read at a time while nobody watches.
const SIP: usize = 4096;

/// A unix socket of which the runtime hears when there is something to read, but not each time its
/// peer has read something.
///
/// The system tells whoever watches whether a unix socket can be written about every message that
/// the peer takes out of it. tokio's own [`UnixStream`] always watches, so that each call
/// would wake the thread of its sender once for nothing; this one does while a write has to wait, and
/// for some more after that. Nor is it watched for what comes while somebody
/// [looks for that](Self::poll_read_unwatched).
#[derive(Debug)]
pub struct Socket {
    stream: Arc<net::UnixStream>,
    /// The same socket, while it is watched for what comes. A pipe's, because those are watched for
    /// one thing alone.
    reading: Option<Receiver>,
    /// The same socket, while it is not. Made with it: a descriptor may not be had when one is needed.
    spare_to_read: Option<OwnedFd>,
    /// What came with the last read was all.
    drained: bool,
    /// The same socket, while it is watched for room, and while it is not.
    writing: Option<Sender>,
    spare: Option<OwnedFd>,
    /// Writes since the last that had to wait.
    easy: u32,
}

impl Socket {
    /// Takes over a connected socket. Has to be called within a tokio runtime, which then watches it.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let stream = stream.into_std()?;
        let reading = Some(Receiver::from_owned_fd_unchecked(again(&stream)?)?);
        let spare = Some(again(&stream)?);
        Ok(Socket {
            stream: Arc::new(stream),
            reading,
            spare_to_read: None,
            drained: false,
            writing: None,
            spare,
            easy: 0,
        })
    }

    /// The socket itself.
    pub fn stream(&self) -> &Arc<net::UnixStream> {
        &self.stream
    }

    /// Reads what is there. When nothing is, nobody is told of what comes later, until the socket is
    /// read as usual: the runtime does not watch it from now on.
    pub fn poll_read_unwatched(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(reading) = self.reading.take() {
            self.spare_to_read = Some(reading.into_nonblocking_fd()?);
        }
        if std::mem::take(&mut self.drained) {
            return Poll::Pending;
        }
        let mut sip = [0; SIP];
        let most = buffer.remaining().min(SIP);
        match (&*self.stream).read(&mut sip[..most]) {
            Ok(read) => {
                buffer.put_slice(&sip[..read]);
                self.drained = (1..most).contains(&read);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_write_by(
        &mut self,
        context: &mut Context<'_>,
        unwatched: impl FnOnce(&mut &net::UnixStream) -> io::Result<usize>,
        watched: impl FnOnce(Pin<&mut Sender>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(spare) = self.spare.take() {
            match unwatched(&mut &*self.stream) {
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
        if let Some(spare) = self.spare_to_read.take() {
            self.reading = Some(Receiver::from_owned_fd_unchecked(spare)?);
            self.drained = false;
        }
        let Some(reading) = self.reading.as_mut() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        Pin::new(reading).poll_read(context, buffer)
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
