//! The worker's end of the paths of the client: it answers from a script, without decoding or
//! allocating anything.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use prost::Message;
use prost::encoding::{decode_varint, encode_varint};
use snakepit_client::{Connection, Options};
use snakepit_protocol::pb::StreamResponse;
use tokio::net::UnixListener;

use crate::entries::{KIB, MIB};
use crate::frames::Frames;
use crate::measure::Failure;

/// What a peer does on each of its streams.
pub(crate) enum Script {
    /// Answers every call of a lane with these replies, which lack their id.
    Lane(Vec<Vec<u8>>),
    /// Answers a call of its own with this reply.
    Call(Vec<u8>),
    /// Answers the start of a stream with so many times these messages, and the final chunk.
    Chunks { messages: Vec<u8>, times: usize },
    /// Acknowledges the caller's chunks, and answers their end with the final chunk.
    Uplink,
}

// Fields of the contract.
const ID: u8 = 1 << 3;
const CHUNK: u8 = 2 << 3 | 2;
const HALF_CLOSE: u8 = 4 << 3 | 2;

/// A connection to a peer that follows the script. Has to be called within a runtime.
pub(crate) fn connect(script: Script) -> Result<Connection, Failure> {
    let socket = std::env::temp_dir().join(format!("snakepit-guard-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)?;
    let connection = to(&socket)?;
    tokio::spawn(serve(listener, socket, script));
    Ok(connection)
}

/// A connection to the worker that listens there.
pub(crate) fn to(socket: &std::path::Path) -> Result<Connection, Failure> {
    Ok(Connection::new(&Options {
        target: format!("unix:{}", socket.display()),
        token: None,
        max_message_size: 256 * MIB,
        connect_timeout: Duration::from_secs(60),
        worker_id: "guard".to_owned(),
    })?)
}

async fn serve(listener: UnixListener, path: PathBuf, script: Script) -> io::Result<()> {
    let (socket, _) = listener.accept().await?;
    std::fs::remove_file(path)?;
    let mut frames = Frames::accept(socket).await?;
    let last = framed(&StreamResponse { is_final: true, ..StreamResponse::default() });
    loop {
        frames.opened().await?;
        match &script {
            Script::Lane(replies) => lane(&mut frames, replies).await?,
            Script::Call(reply) => {
                while frames.ready().is_none() {
                    frames.advance().await?;
                }
                frames.take();
                frames.send(reply).await?;
                frames.end();
                continue;
            }
            Script::Chunks { messages, times } => {
                for _ in 0..*times {
                    frames.send(messages).await?;
                }
            }
            Script::Uplink => uplink(&mut frames).await?,
        }
        frames.send(&last).await?;
        frames.end();
    }
}

async fn lane(frames: &mut Frames, replies: &[Vec<u8>]) -> io::Result<()> {
    let mut message = Vec::with_capacity(128 * KIB);
    loop {
        while let Some(mut request) = frames.ready().and_then(|request| request.strip_prefix(&[ID]))
        {
            let id = decode_varint(&mut request)?;
            frames.take();
            for reply in replies {
                message.clear();
                message.extend_from_slice(&[0; 5]);
                message.push(ID);
                encode_varint(id, &mut message);
                message.extend_from_slice(reply);
                let size = (message.len() as u32 - 5).to_be_bytes();
                message[1..5].copy_from_slice(&size);
                frames.send(&message).await?;
            }
        }
        frames.advance().await?;
    }
}

async fn uplink(frames: &mut Frames) -> io::Result<()> {
    const ACK: u8 = 7 << 3;
    /// What one byte can say.
    const MOST: u8 = 127;
    let (mut consumed, mut over) = (0, false);
    loop {
        while let Some(message) = frames.ready() {
            consumed += u8::from(message.starts_with(&[CHUNK]));
            over |= message.starts_with(&[HALF_CLOSE]);
            frames.take();
            if consumed == MOST || (frames.ready().is_none() && consumed > 0) {
                frames.send(&[0, 0, 0, 0, 2, ACK, consumed]).await?;
                consumed = 0;
            }
        }
        if over {
            return Ok(());
        }
        frames.advance().await?;
    }
}

/// A message as gRPC sends it.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.encoded_len() as u32).to_be_bytes());
    framed.extend_from_slice(&message.encode_to_vec());
    framed
}
