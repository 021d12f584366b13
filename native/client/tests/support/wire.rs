//! A wire between a client and a peer on which the test sees how requests end: a server's own view
//! takes a reset for a good end.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use snakepit_client::{Connection, Options};
use tokio::sync::mpsc;

use super::peer::Peer;

/// How the request side of a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    InGoodOrder,
    Reset,
}

/// Carries one connection.
pub struct Wire {
    options: Options,
    ends: mpsc::UnboundedReceiver<End>,
    messages: mpsc::UnboundedReceiver<usize>,
    /// Bytes that the client's side of the wire has taken from the peer.
    taken: Arc<AtomicUsize>,
}

/// What is noted of the client's frames.
struct Notes {
    ends: mpsc::UnboundedSender<End>,
    messages: mpsc::UnboundedSender<usize>,
}

impl Wire {
    pub fn to(peer: &Peer) -> Self {
        let socket = peer.directory().join("wire.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let target = peer.socket();
        let (noted_ends, ends) = mpsc::unbounded_channel();
        let (noted_messages, messages) = mpsc::unbounded_channel();
        let notes = Notes { ends: noted_ends, messages: noted_messages };
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        std::thread::spawn(move || carry(&listener, target, &notes, counted));
        let options = Options { target: format!("unix:{}", socket.display()), ..peer.options() };
        Wire { options, ends, messages, taken }
    }

    pub fn connection(&self) -> Connection {
        Connection::new(&self.options).unwrap()
    }

    /// The next end of a request; one that is reset may have had a good end before.
    pub async fn end(&mut self) -> End {
        self.ends.recv().await.expect("the connection is closed")
    }

    /// How many messages the client has sent in the next frame of data, of whatever call.
    pub async fn messages(&mut self) -> usize {
        self.messages.recv().await.expect("the connection is closed")
    }

    /// How many bytes from the peer have found room on the client's side.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

fn carry(
    listener: &UnixListener,
    target: PathBuf,
    notes: &Notes,
    taken: Arc<AtomicUsize>,
) -> io::Result<()> {
    let (client, _) = listener.accept()?;
    let peer = UnixStream::connect(target)?;
    let (mut from_peer, mut to_client) = (peer.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = pass_on(&mut from_peer, &mut to_client, &taken);
        to_client.shutdown(Shutdown::Both)
    });
    // Whichever way the connection ends.
    let _ = frames(&client, &peer, notes);
    peer.shutdown(Shutdown::Both)
}

/// Passes on the peer's side.
fn pass_on(peer: &mut UnixStream, client: &mut UnixStream, taken: &AtomicUsize) -> io::Result<()> {
    let mut data = [0; 16 * 1024];
    loop {
        let length = peer.read(&mut data)?;
        if length == 0 {
            return Ok(());
        }
        client.write_all(&data[..length])?;
        taken.fetch_add(length, Ordering::SeqCst);
    }
}

/// Passes on the client's side of HTTP/2, frame by frame.
fn frames(mut client: &UnixStream, mut peer: &UnixStream, notes: &Notes) -> io::Result<()> {
    const PREFACE: usize = 24;
    const HEAD: usize = 9;
    const DATA: u8 = 0;
    const RST_STREAM: u8 = 3;
    const END_STREAM: u8 = 1;
    let mut preface = [0; PREFACE];
    client.read_exact(&mut preface)?;
    peer.write_all(&preface)?;
    loop {
        let mut frame = vec![0; HEAD];
        client.read_exact(&mut frame)?;
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
        frame.resize(HEAD + length, 0);
        client.read_exact(&mut frame[HEAD..])?;
        // The test may have seen what it wanted.
        let _ = match (frame[3], frame[4] & END_STREAM) {
            (DATA, END_STREAM) => notes.ends.send(End::InGoodOrder),
            (RST_STREAM, _) => notes.ends.send(End::Reset),
            _ => Ok(()),
        };
        if frame[3] == DATA && length > 0 {
            let _ = notes.messages.send(messages_in(&frame[HEAD..]));
        }
        peer.write_all(&frame)?;
    }
}

/// How many messages begin in data that begins with one.
fn messages_in(mut data: &[u8]) -> usize {
    const PREFIX: usize = 5;
    let mut messages = 0;
    while let [_, size @ ..] = data
        && let Some(size) = size.first_chunk()
    {
        messages += 1;
        data = data.get(PREFIX + u32::from_be_bytes(*size) as usize..).unwrap_or_default();
    }
    messages
}
