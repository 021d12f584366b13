//! A wire between a client and a peer on which the test sees how requests end: a server's own view
//! takes a reset for a good end.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

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
}

impl Wire {
    pub fn to(peer: &Peer) -> Self {
        let socket = peer.directory().join("wire.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let target = peer.socket();
        let (noted, ends) = mpsc::unbounded_channel();
        std::thread::spawn(move || carry(&listener, target, &noted));
        let options = Options { target: format!("unix:{}", socket.display()), ..peer.options() };
        Wire { options, ends }
    }

    pub fn connection(&self) -> Connection {
        Connection::new(&self.options).unwrap()
    }

    /// The next end of a request; one that is reset may have had a good end before.
    pub async fn end(&mut self) -> End {
        self.ends.recv().await.expect("the connection is closed")
    }
}

fn carry(
    listener: &UnixListener,
    target: PathBuf,
    noted: &mpsc::UnboundedSender<End>,
) -> io::Result<()> {
    let (client, _) = listener.accept()?;
    let peer = UnixStream::connect(target)?;
    let (mut from_peer, mut to_client) = (peer.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_peer, &mut to_client);
        to_client.shutdown(Shutdown::Both)
    });
    // Whichever way the connection ends.
    let _ = frames(&client, &peer, noted);
    peer.shutdown(Shutdown::Both)
}

/// Passes on the client's side of HTTP/2, frame by frame.
fn frames(
    mut client: &UnixStream,
    mut peer: &UnixStream,
    noted: &mpsc::UnboundedSender<End>,
) -> io::Result<()> {
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
            (DATA, END_STREAM) => noted.send(End::InGoodOrder),
            (RST_STREAM, _) => noted.send(End::Reset),
            _ => Ok(()),
        };
        peer.write_all(&frame)?;
    }
}
