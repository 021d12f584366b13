//! As much of HTTP/2 as a server of one stream at a time needs, in buffers that are allocated once:
//! what is counted is the client.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::entries::KIB;

const PREFACE: usize = 24;
const HEAD: usize = 9;
const WINDOW: u32 = (1 << 31) - 1;
const DEFAULT_WINDOW: u32 = 65_535;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const MAX_FRAME_SIZE: u16 = 5;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// `:status: 200`, `content-type: application/grpc`.
const OPENING: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`.
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";

/// So much waits for the socket at most.
const OUTPUT: usize = 64 * KIB;

/// The server's end of a connection, and of the stream that was opened last.
pub(crate) struct Frames {
    socket: UnixStream,
    raw: Vec<u8>,
    /// The client's data of this stream, taken up to `taken`.
    input: Vec<u8>,
    taken: usize,
    output: Vec<u8>,
    opened: bool,
    stream: u32,
    window: i64,
    initial_window: i64,
    max_frame: usize,
}

impl Frames {
    /// Begins a connection.
    pub(crate) async fn accept(mut socket: UnixStream) -> io::Result<Self> {
        let mut preface = [0; PREFACE];
        socket.read_exact(&mut preface).await?;
        let mut frames = Frames {
            socket,
            raw: Vec::with_capacity(512 * KIB),
            input: Vec::with_capacity(2 * KIB * KIB),
            taken: 0,
            output: Vec::with_capacity(4 * OUTPUT),
            opened: false,
            stream: 0,
            window: 0,
            initial_window: DEFAULT_WINDOW.into(),
            max_frame: 16 * KIB,
        };
        let setting = |id: u16, value: u32| {
            let [a, b] = id.to_be_bytes();
            let [c, d, e, f] = value.to_be_bytes();
            [a, b, c, d, e, f]
        };
        let settings =
            [setting(INITIAL_WINDOW_SIZE, WINDOW), setting(MAX_FRAME_SIZE, 64 * KIB as u32)];
        frames.put(SETTINGS, 0, 0, settings.as_flattened());
        frames.put(WINDOW_UPDATE, 0, 0, &(WINDOW - DEFAULT_WINDOW).to_be_bytes());
        Ok(frames)
    }

    /// Waits for the next stream, and answers its headers.
    pub(crate) async fn opened(&mut self) -> io::Result<()> {
        while !self.opened {
            self.advance().await?;
        }
        self.opened = false;
        self.put(HEADERS, END_HEADERS, self.stream, OPENING);
        Ok(())
    }

    /// The next message of the client's, which is to be [taken](Self::take). None if that means to wait.
    pub(crate) fn ready(&self) -> Option<&[u8]> {
        let (head, rest) = self.input.get(self.taken..)?.split_first_chunk()?;
        let [_compressed, size @ ..]: [u8; 5] = *head;
        rest.get(..u32::from_be_bytes(size) as usize)
    }

    pub(crate) fn take(&mut self) {
        let size = self.ready().map_or(0, <[u8]>::len);
        self.taken += size + 5;
    }

    /// Sends what waits, and waits for something from the client.
    pub(crate) async fn advance(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.raw.reserve(64 * KIB);
        if self.socket.read_buf(&mut self.raw).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let raw = std::mem::take(&mut self.raw);
        let mut rest = raw.as_slice();
        while let Some(([a, b, c, kind, flags, stream @ ..], behind)) =
            rest.split_first_chunk::<HEAD>()
            && let Some((payload, behind)) =
                behind.split_at_checked(u32::from_be_bytes([0, *a, *b, *c]) as usize)
        {
            self.take_in(*kind, *flags, u32::from_be_bytes(*stream), payload);
            rest = behind;
        }
        let kept = raw.len() - rest.len();
        self.raw = raw;
        self.raw.drain(..kept);
        Ok(())
    }

    fn take_in(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        match kind {
            HEADERS => {
                (self.opened, self.stream, self.window) = (true, stream, self.initial_window);
                self.input.clear();
                self.taken = 0;
            }
            DATA if stream == self.stream => {
                if self.taken == self.input.len() {
                    self.input.clear();
                    self.taken = 0;
                }
                self.input.extend_from_slice(payload);
            }
            SETTINGS if flags & ACK == 0 => {
                for [a, b, value @ ..] in payload.as_chunks::<6>().0 {
                    let value = u32::from_be_bytes(*value);
                    match u16::from_be_bytes([*a, *b]) {
                        INITIAL_WINDOW_SIZE => self.initial_window = value.into(),
                        MAX_FRAME_SIZE => self.max_frame = value as usize,
                        _ => {}
                    }
                }
                self.put(SETTINGS, ACK, 0, &[]);
            }
            WINDOW_UPDATE if stream == self.stream => {
                if let Some(more) = payload.first_chunk() {
                    self.window += i64::from(u32::from_be_bytes(*more));
                }
            }
            PING if flags & ACK == 0 => self.put(PING, ACK, 0, payload),
            _ => {}
        }
    }

    /// Sends whole messages, as far as the client's window goes.
    pub(crate) async fn send(&mut self, mut messages: &[u8]) -> io::Result<()> {
        while !messages.is_empty() {
            let size = messages.len().min(self.max_frame).min(self.window.max(0) as usize);
            if size == 0 {
                self.advance().await?;
                continue;
            }
            let (now, later) = messages.split_at(size);
            self.put(DATA, 0, self.stream, now);
            self.window -= size as i64;
            messages = later;
            if self.output.len() >= OUTPUT {
                self.flush().await?;
                // The client reads before there is more: how much a socket holds depends on the system.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Ends the stream in good order.
    pub(crate) fn end(&mut self) {
        self.put(HEADERS, END_HEADERS | END_STREAM, self.stream, TRAILERS);
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }

    fn put(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, size @ ..] = (payload.len() as u32).to_be_bytes();
        self.output.extend_from_slice(&size);
        self.output.extend_from_slice(&[kind, flags]);
        self.output.extend_from_slice(&stream.to_be_bytes());
        self.output.extend_from_slice(payload);
    }
}
