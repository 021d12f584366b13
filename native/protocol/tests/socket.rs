//! A socket that is watched for room only while there is none, and for what comes only while it is to
//! be, carries every byte, both ways, and says when its peer is gone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use snakepit_protocol::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf, split};
use tokio::runtime::Builder;
use tokio::time::timeout;

/// A test that takes longer hangs.
const HUNG: Duration = Duration::from_secs(60);

/// A prime, so that no size of a write or a read hides what is out of place.
const PERIOD: usize = 251;

/// What goes over the wire, from one place on.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|place| (place % PERIOD) as u8).collect()
}

/// Runs a test with both ends of a connection.
fn with_socket<F: Future<Output = ()>>(test: impl FnOnce(Socket, UnixStream) -> F) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (own, peer) = UnixStream::pair().unwrap();
        peer.set_read_timeout(Some(HUNG)).unwrap();
        peer.set_write_timeout(Some(HUNG)).unwrap();
        own.set_nonblocking(true).unwrap();
        let own = tokio::net::UnixStream::from_std(own).unwrap();
        timeout(HUNG, test(Socket::new(own).unwrap(), peer)).await.expect("the test hangs");
    });
}

/// Reads so much of the pattern, in pieces of `size` bytes, and nothing else.
fn read_pattern(mut peer: &UnixStream, total: usize, size: usize) {
    let mut piece = vec![0; size];
    let mut from = 0;
    while from < total {
        let length = size.min(total - from);
        peer.read_exact(&mut piece[..length]).unwrap();
        assert!(piece[..length] == pattern(from, length), "out of place after {from} bytes");
        from += length;
    }
}

fn write_pattern(mut peer: &UnixStream, total: usize, size: usize) {
    for from in (0..total).step_by(size) {
        peer.write_all(&pattern(from, size.min(total - from))).unwrap();
    }
}

#[test]
fn every_byte_arrives_both_ways_at_once_however_slow_the_peer_reads() {
    const TOTAL: usize = 24 * 1024 * 1024;
    with_socket(|socket, peer| async move {
        let (reader, writer) = (peer.try_clone().unwrap(), peer);
        // The pieces are of other sizes than the socket's own, and far smaller than what it holds.
        let reading = thread::spawn(move || read_pattern(&reader, TOTAL, 3_001));
        let writing = thread::spawn(move || write_pattern(&writer, TOTAL, 70_001));
        let (mut from_peer, mut to_peer) = split(socket);
        let sending = tokio::spawn(async move {
            for from in (0..TOTAL).step_by(100_003) {
                let data = pattern(from, 100_003.min(TOTAL - from));
                to_peer.write_all(&data).await.unwrap();
            }
            to_peer
        });
        let mut piece = vec![0; 65_537];
        let mut from = 0;
        while from < TOTAL {
            let length = from_peer.read(&mut piece).await.unwrap();
            assert!(length > 0, "the end after {from} bytes");
            assert!(piece[..length] == pattern(from, length), "out of place after {from} bytes");
            from += length;
        }
        let _to_peer = sending.await.unwrap();
        reading.join().unwrap();
        writing.join().unwrap();
    });
}

#[test]
fn small_writes_and_a_large_one_after_them_arrive_in_order() {
    const SMALL: usize = 30_000;
    const LARGE: usize = 4 * 1024 * 1024;
    with_socket(|mut socket, peer| async move {
        let (full, is_full) = std::sync::mpsc::channel();
        let reading = thread::spawn(move || {
            // Whoever writes has to wait first.
            is_full.recv().unwrap();
            read_pattern(&peer, SMALL + LARGE, 997);
        });
        let mut waits = 0;
        for from in (0..SMALL).step_by(3) {
            let data = pattern(from, 3);
            let mut write = pin!(socket.write_all(&data));
            if let Poll::Ready(written) = once(write.as_mut()).await {
                written.unwrap();
                continue;
            }
            if waits == 0 {
                full.send(()).unwrap();
            }
            waits += 1;
            write.await.unwrap();
        }
        assert!(waits > 0);
        socket.write_all(&pattern(SMALL, LARGE)).await.unwrap();
        reading.join().unwrap();
    });
}

#[test]
fn a_writer_that_waits_goes_on_whenever_its_peer_reads() {
    const ROUNDS: usize = 200;
    with_socket(|mut socket, mut peer| async move {
        let (full, is_full) = std::sync::mpsc::channel::<usize>();
        let reading = thread::spawn(move || {
            // All there is, but only when there is no room for more.
            for length in is_full {
                let mut data = vec![0; length];
                peer.read_exact(&mut data).unwrap();
            }
        });
        let data = pattern(0, 16 * 1024);
        for round in 0..ROUNDS {
            let mut written = 0;
            // Until it has to wait; then it waits, and writes without waiting for a while.
            loop {
                let mut write = pin!(socket.write(&data));
                match once(write.as_mut()).await {
                    Poll::Ready(length) => written += length.unwrap(),
                    Poll::Pending => {
                        full.send(written).unwrap();
                        full.send(write.await.unwrap()).unwrap();
                        break;
                    }
                }
            }
            for _ in 0..round {
                socket.write_all(b"x").await.unwrap();
                full.send(1).unwrap();
            }
        }
        drop(full);
        reading.join().unwrap();
    });
}

#[test]
fn pieces_are_written_together() {
    with_socket(|mut socket, mut peer| async move {
        assert!(tokio::io::AsyncWrite::is_write_vectored(&socket));
        let pieces = [IoSlice::new(b"to"), IoSlice::new(b"get"), IoSlice::new(b"her")];
        assert_eq!(socket.write_vectored(&pieces).await.unwrap(), 8);
        let mut read = [0; 8];
        peer.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"together");
    });
}

#[test]
fn the_end_of_what_the_peer_sends_is_seen_while_there_is_more_to_send() {
    with_socket(|mut socket, mut peer| async move {
        peer.write_all(b"last").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        socket.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last");
        socket.write_all(b"still").await.unwrap();
        let mut read = [0; 5];
        peer.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"still");
    });
}

#[test]
fn the_end_of_what_is_sent_is_seen_by_the_peer_which_may_send_more() {
    with_socket(|mut socket, mut peer| async move {
        socket.write_all(b"last").await.unwrap();
        socket.shutdown().await.unwrap();
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"last");
        peer.write_all(b"still").unwrap();
        let mut read = [0; 5];
        socket.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"still");
    });
}

#[test]
fn dropping_it_ends_the_connection() {
    with_socket(|mut socket, mut peer| async move {
        fill(&mut socket).await;
        drop(socket);
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        assert_eq!(peer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_writer_that_waits_hears_that_its_peer_is_gone() {
    with_socket(|mut socket, peer| async move {
        fill(&mut socket).await;
        let gone = thread::spawn(move || drop(peer));
        let failed = socket.write_all(&pattern(0, 4 * 1024 * 1024)).await.unwrap_err();
        assert!(matches!(failed.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
        gone.join().unwrap();
    });
}

/// Writes until there is no room.
async fn fill(socket: &mut Socket) {
    let data = pattern(0, 64 * 1024);
    while let Poll::Ready(written) = once(pin!(socket.write(&data))).await {
        written.unwrap();
    }
}

/// Polls once.
async fn once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// What is there, None if that is nothing.
fn sip(socket: &mut Socket) -> Option<Vec<u8>> {
    let mut room = [0; 100];
    let mut buffer = ReadBuf::new(&mut room);
    match socket.poll_read_unwatched(&mut buffer) {
        Poll::Ready(read) => read.map(|()| Some(buffer.filled().to_vec())).unwrap(),
        Poll::Pending => None,
    }
}

#[test]
fn what_comes_while_nobody_watches_is_there_for_whoever_looks_or_watches_again() {
    with_socket(|mut socket, mut peer| async move {
        assert_eq!(sip(&mut socket), None);
        for from in [0, 10, 20] {
            peer.write_all(&pattern(from, 10)).unwrap();
            assert_eq!(sip(&mut socket), Some(pattern(from, 10)));
            assert_eq!(sip(&mut socket), None);
        }
        peer.write_all(&pattern(30, 100)).unwrap();
        let mut read = vec![0; 200];
        socket.read_exact(&mut read[..100]).await.unwrap();
        let writing = thread::spawn(move || peer.write_all(&pattern(130, 100)).map(|()| peer));
        socket.read_exact(&mut read[100..]).await.unwrap();
        assert_eq!(read, pattern(30, 200));
        drop(writing.join().unwrap().unwrap());
        assert_eq!(sip(&mut socket), Some(Vec::new()));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn it_needs_no_more_descriptors_when_it_has_to_wait() {
    use std::os::fd::AsRawFd;

    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (own, peer) = UnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        let name = |descriptor: &str| std::fs::read_link(format!("/proc/self/fd/{descriptor}"));
        let own_name = name(&own.as_raw_fd().to_string()).unwrap();
        let descriptors = || {
            let all = std::fs::read_dir("/proc/self/fd").unwrap();
            let names = all.filter_map(|entry| name(entry.ok()?.file_name().to_str()?).ok());
            names.filter(|name| *name == own_name).count()
        };
        let mut socket = Socket::new(tokio::net::UnixStream::from_std(own).unwrap()).unwrap();
        let before = descriptors();
        fill(&mut socket).await;
        assert_eq!(descriptors(), before);
        assert_eq!(sip(&mut socket), None);
        assert_eq!(descriptors(), before);
        let reading = thread::spawn(move || {
            let mut peer = peer;
            std::io::copy(&mut peer, &mut std::io::sink()).unwrap();
        });
        for _ in 0..1_000 {
            socket.write_all(b"x").await.unwrap();
        }
        assert_eq!(descriptors(), before);
        drop(socket);
        reading.join().unwrap();
        assert_eq!(descriptors(), 0);
    });
}
