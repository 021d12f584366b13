use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame};
use prost::Message;
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use super::{BURST, Rope};

/// Whose messages they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A request: an error resets the call.
    Client,
    /// A response: how it ended, be it with an error, stands in its trailers.
    Server,
}

/// A stream of messages as the body of a request or a response.
#[derive(Debug)]
pub struct Outgoing<S> {
    messages: S,
    side: Side,
    rope: Rope,
    end: Option<Result<(), Status>>,
    over: bool,
}

impl<S, M> Outgoing<S>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
    M: Message,
{
    /// The body of `messages`.
    pub fn new(side: Side, messages: S) -> Self {
        Outgoing { messages, side, rope: Rope::new(), end: None, over: false }
    }

    /// Takes what is ready, up to a burst. Pending when that is nothing.
    fn gather(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.end.is_none() && self.rope.len() < BURST {
            match Pin::new(&mut self.messages).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => {
                    if !self.rope.frame(&message) {
                        let text = "message length too large: over 4 GiB";
                        self.end = Some(Err(Status::out_of_range(text)));
                    }
                }
                Poll::Ready(Some(Err(status))) => self.end = Some(Err(status)),
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Pending if self.rope.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S, M> Body for Outgoing<S>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
    M: Message,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        if this.rope.is_empty() {
            ready!(this.gather(context));
        }
        if let Some(piece) = this.rope.pop(usize::MAX) {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        this.over = true;
        let end = this.end.take().unwrap_or(Ok(()));
        Poll::Ready(match (this.side, end) {
            (Side::Client, Ok(())) => None,
            (Side::Client, Err(status)) => Some(Err(status)),
            (Side::Server, end) => Some(trailers(end).map(Frame::trailers)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}

fn trailers(end: Result<(), Status>) -> Result<HeaderMap, Status> {
    let mut trailers = HeaderMap::new();
    end.err().unwrap_or_else(|| Status::ok("")).add_header(&mut trailers)?;
    Ok(trailers)
}
