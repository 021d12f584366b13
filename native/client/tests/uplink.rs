//! The caller's half of a stream: what the peer receives of it, in which order, and when the
//! caller may go on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use futures_util::FutureExt;
use snakepit_client::{Deadlines, Pace, Sent, Shape, Sink, Stream, Uplink};
use snakepit_protocol::pb::stream_request::Message;
use snakepit_protocol::pb::{
    ExecuteResponse, HalfClose, StreamRequest, StreamResponse, StreamShape, StreamStart,
};
use support::peer::{Outlet, Peer};
use support::wire::{End, Wire};
use support::{Running, ack, chunk, entry, frozen, last, live, number, numbered, request};
use tokio::sync::mpsc;
use tonic::Streaming;

/// An uplink, and what tells of the room in it.
fn uplink(
    shape: Shape,
    peer_keeps_credit: bool,
    window: usize,
    max_buffer: usize,
) -> (Arc<Uplink>, mpsc::UnboundedReceiver<()>) {
    let (sender, room) = mpsc::unbounded_channel();
    let on_room = move || sender.send(()).unwrap();
    let request = request("fold");
    (Uplink::new(request, shape, peer_keeps_credit, window, max_buffer, on_room), room)
}

fn send(uplink: &Uplink, number: usize) -> Sent {
    uplink.send(vec![numbered(number)])
}

/// The peer's end of a stream that has begun: its input and its output.
struct Begun {
    input: Streaming<StreamRequest>,
    output: Outlet<StreamResponse>,
    start: StreamStart,
}

impl Begun {
    async fn accept(peer: &mut Peer) -> Self {
        let (mut input, output) = peer.exchanges.next().await.accept();
        let Some(Message::Start(start)) = message(&mut input).await else {
            panic!("the first message is no start");
        };
        Begun { input, output, start }
    }

    async fn message(&mut self) -> Option<Message> {
        message(&mut self.input).await
    }

    async fn number(&mut self) -> usize {
        match self.message().await {
            Some(Message::Chunk(chunk)) => number(&chunk.chunk),
            other => panic!("no chunk but {other:?}"),
        }
    }
}

/// The next message; None when the client has ended its half in good order.
async fn message(input: &mut Streaming<StreamRequest>) -> Option<Message> {
    let message = input.message().await.unwrap()?;
    Some(message.message.unwrap())
}

#[test]
fn the_start_comes_first_and_tells_a_peer_with_credit_the_limits() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (with_credit, _room) = uplink(Shape::Bidi, true, 7, 9_000);
        assert_eq!(send(&with_credit, 1), Sent::Room);
        let _running = Running::over(&connection, &with_credit, Shape::Bidi, Deadlines::default());
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!(begun.start.command, "fold");
        assert_eq!((begun.start.window, begun.start.max_buffer), (7, 9_000));
        assert_eq!(begun.start.shape(), StreamShape::Bidi);
        assert_eq!(begun.number().await, 1);

        let (without, _room) = uplink(Shape::Bidi, false, 7, 9_000);
        let _running = Running::over(&connection, &without, Shape::Bidi, Deadlines::default());
        let begun = Begun::accept(&mut peer).await;
        assert_eq!((begun.start.window, begun.start.max_buffer), (0, 0));
    });
}

#[test]
fn a_peer_with_credit_makes_room_by_acknowledging() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, mut room) = uplink(Shape::Bidi, true, 2, 0);
        let running = Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        assert_eq!(send(&uplink, 0), Sent::Room);
        assert_eq!(send(&uplink, 1), Sent::Full);
        let mut begun = Begun::accept(&mut peer).await;
        // Received is not consumed: there is no room yet.
        assert_eq!((begun.number().await, begun.number().await), (0, 1));
        begun.output.send(chunk(0));
        let mut running = running;
        assert_eq!(number(&running.chunk().await.chunk), 0);
        assert!(room.is_empty());

        begun.output.send(ack(1));
        room.recv().await.unwrap();
        assert_eq!(send(&uplink, 2), Sent::Full);
        assert_eq!(begun.number().await, 2);
        begun.output.send(ack(2));
        room.recv().await.unwrap();
        // Nobody waits any more: an acknowledgement more tells nobody.
        assert_eq!(send(&uplink, 3), Sent::Room);
        assert_eq!(begun.number().await, 3);
        begun.output.send(ack(1));
        begun.output.send(last());
        drop(begun);
        assert_eq!(running.end().await, (vec![last()], Ok(())));
        assert!(room.is_empty());
    });
}

#[test]
fn acknowledgements_travel_on_chunks_too() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, mut room) = uplink(Shape::Bidi, true, 1, 0);
        let mut running =
            Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        assert_eq!(send(&uplink, 0), Sent::Full);
        let begun = Begun::accept(&mut peer).await;
        begun.output.send(StreamResponse { ack: 1, ..chunk(5) });
        room.recv().await.unwrap();
        assert_eq!(number(&running.chunk().await.chunk), 5);
    });
}

#[test]
fn room_is_a_matter_of_bytes_too() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, mut room) = uplink(Shape::Bidi, true, 100, 20);
        let _running =
            Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        assert_eq!(uplink.send(vec![entry("data", "12345")]), Sent::Room);
        assert_eq!(uplink.send(vec![entry("data", "12345")]), Sent::Full);
        let begun = Begun::accept(&mut peer).await;
        begun.output.send(ack(1));
        room.recv().await.unwrap();
        assert_eq!(uplink.send(vec![entry("data", vec![0; 10_000])]), Sent::Full);
    });
}

#[test]
fn for_a_peer_without_credit_there_is_room_once_http2_has_taken_the_chunk() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, mut room) = uplink(Shape::Bidi, false, 1, 0);
        assert_eq!(send(&uplink, 0), Sent::Full);
        assert!(room.is_empty());
        let running = Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        room.recv().await.unwrap();
        assert_eq!(send(&uplink, 1), Sent::Full);
        room.recv().await.unwrap();
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!((begun.number().await, begun.number().await), (0, 1));
        begun.output.send(last());
        drop(begun);
        assert_eq!(running.end().await.1, Ok(()));
        assert!(room.is_empty());
    });
}

#[test]
fn whoever_sends_a_chunk_does_not_tell_of_room_itself() {
    frozen(async {
        let mut peer = Peer::start();
        // What it would break if it ran where the chunk is sent: that may be any caller's thread.
        let on_room = || panic!("over room, on purpose");
        let uplink = Uplink::new(request("fold"), Shape::Bidi, false, 1, 0, on_room);
        assert_eq!(send(&uplink, 0), Sent::Full);
        let running = Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!(begun.number().await, 0);
        assert_eq!(send(&uplink, 1), Sent::Full);
        uplink.half_close();
        assert_eq!(begun.number().await, 1);
        assert_eq!(begun.message().await, None);
        begun.output.send(last());
        drop(begun);
        assert_eq!(running.end().await.1, Ok(()));
    });
}

#[test]
fn an_unread_chunk_is_not_taken_by_http2_without_end() {
    frozen(async {
        const CHUNKS: usize = 200;
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (uplink, mut room) = uplink(Shape::Client, false, 1, 0);
        let running = Running::over(&connection, &uplink, Shape::Client, Deadlines::default());
        let mut call = peer.client_streams.next().await;
        let send = || uplink.send(vec![entry("data", vec![0; 64 * 1024])]);

        // As much as the windows of HTTP/2 and the buffers on the way hold.
        let mut sent = 0;
        let mut unchanged = 0;
        assert_eq!(send(), Sent::Full);
        while unchanged < 100 {
            support::round_trip(&connection).await;
            unchanged += 1;
            if room.try_recv().is_ok() {
                (sent, unchanged) = (sent + 1, 0);
                assert_eq!(send(), Sent::Full);
            }
        }
        assert!(sent < CHUNKS / 2, "{sent} chunks of 64 KiB went out unread");

        // The rest goes as the peer reads.
        let reading = tokio::spawn(async move {
            let mut read = 0;
            while let Some(message) = message(&mut call.request).await {
                read += usize::from(matches!(message, Message::Chunk(_)));
            }
            call.answer(Ok(support::response(vec![numbered(read)])));
        });
        while sent < CHUNKS - 1 {
            room.recv().await.unwrap();
            sent += 1;
            assert_eq!(send(), Sent::Full);
        }
        uplink.half_close();
        reading.await.unwrap();
        let (chunks, result) = running.end().await;
        assert_eq!((number(&chunks[0].chunk), result), (CHUNKS, Ok(())));
    });
}

#[test]
fn a_half_close_stands_behind_the_chunks_and_before_later_acknowledgements() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, _room) = uplink(Shape::Bidi, true, 10, 0);
        let pace = Pace::Peer(Arc::clone(&uplink));
        let mut running =
            Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        send(&uplink, 0);
        send(&uplink, 1);
        uplink.half_close();
        assert_eq!(send(&uplink, 2), Sent::Over);
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!((begun.number().await, begun.number().await), (0, 1));
        assert_eq!(begun.message().await, Some(Message::HalfClose(HalfClose {})));

        begun.output.send(chunk(0));
        running.chunk().await;
        pace.acknowledge(1);
        assert_eq!(begun.message().await, Some(Message::Ack(1)));
    });
}

#[test]
fn an_abort_stands_behind_the_chunks_and_before_later_acknowledgements() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, _room) = uplink(Shape::Bidi, true, 10, 0);
        let pace = Pace::Peer(Arc::clone(&uplink));
        let mut running =
            Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        send(&uplink, 0);
        uplink.abort("no more lines".to_owned());
        assert_eq!(send(&uplink, 1), Sent::Over);
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!(begun.number().await, 0);
        assert_eq!(begun.message().await, Some(Message::Abort("no more lines".to_owned())));

        // A handler may have much to say when its input fails, and needs credit for it.
        begun.output.send(chunk(0));
        running.chunk().await;
        pace.acknowledge(1);
        assert_eq!(begun.message().await, Some(Message::Ack(1)));
    });
}

#[test]
fn without_credit_the_half_close_is_the_end_of_the_request() {
    frozen(async {
        let mut peer = Peer::start();
        let mut wire = Wire::to(&peer);
        let (uplink, _room) = uplink(Shape::Bidi, false, 10, 0);
        let _running =
            Running::over(&wire.connection(), &uplink, Shape::Bidi, Deadlines::default());
        send(&uplink, 0);
        uplink.half_close();
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!(begun.number().await, 0);
        assert_eq!(begun.message().await, None);
        assert_eq!(wire.end().await, End::InGoodOrder);
    });
}

#[test]
fn without_credit_an_abort_is_told_and_ends_the_request() {
    frozen(async {
        let mut peer = Peer::start();
        let mut wire = Wire::to(&peer);
        let (uplink, _room) = uplink(Shape::Bidi, false, 10, 0);
        let _running =
            Running::over(&wire.connection(), &uplink, Shape::Bidi, Deadlines::default());
        send(&uplink, 0);
        uplink.abort("no more lines".to_owned());
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!(begun.number().await, 0);
        assert_eq!(begun.message().await, Some(Message::Abort("no more lines".to_owned())));
        assert_eq!(begun.message().await, None);
        assert_eq!(wire.end().await, End::InGoodOrder);
    });
}

#[test]
fn the_first_of_several_endings_holds() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, _room) = uplink(Shape::Bidi, true, 10, 0);
        let pace = Pace::Peer(Arc::clone(&uplink));
        let _running =
            Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        uplink.half_close();
        uplink.abort("too late".to_owned());
        uplink.half_close();
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!(begun.message().await, Some(Message::HalfClose(HalfClose {})));
        pace.acknowledge(3);
        assert_eq!(begun.message().await, Some(Message::Ack(3)));
    });
}

#[test]
fn acknowledgements_that_wait_become_one_and_overtake_chunks() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, _room) = uplink(Shape::Bidi, true, 10, 0);
        let pace = Pace::Peer(Arc::clone(&uplink));
        send(&uplink, 0);
        pace.acknowledge(1);
        pace.acknowledge(2);
        pace.acknowledge(3);
        uplink.half_close();
        let _running =
            Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!(begun.message().await, Some(Message::Ack(6)));
        assert_eq!(begun.number().await, 0);
        assert_eq!(begun.message().await, Some(Message::HalfClose(HalfClose {})));
    });
}

#[test]
fn an_acknowledgement_of_more_than_can_be_is_taken_as_all() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, _room) = uplink(Shape::Bidi, true, 10, 0);
        let pace = Pace::Peer(Arc::clone(&uplink));
        pace.acknowledge(usize::MAX);
        pace.acknowledge(usize::MAX);
        let _running =
            Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!(begun.message().await, Some(Message::Ack(u32::MAX)));
    });
}

#[test]
fn once_the_call_is_over_no_chunk_is_taken() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, _room) = uplink(Shape::Bidi, true, 10, 0);
        let running = Running::over(&peer.connection(), &uplink, Shape::Bidi, Deadlines::default());
        let begun = Begun::accept(&mut peer).await;
        assert_eq!(send(&uplink, 0), Sent::Room);
        begun.output.send(last());
        drop(begun);
        assert_eq!(running.end().await.1, Ok(()));
        assert_eq!(send(&uplink, 1), Sent::Over);
    });
}

#[test]
fn a_cancelled_call_sends_nothing_more_and_tells_the_peer() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (uplink, _room) = uplink(Shape::Bidi, true, 10, 0);
        let running = Running::over(&connection, &uplink, Shape::Bidi, Deadlines::default());
        let mut begun = Begun::accept(&mut peer).await;
        assert_eq!(send(&uplink, 0), Sent::Room);
        assert_eq!(begun.number().await, 0);
        running.task.abort();
        assert!(running.task.await.unwrap_err().is_cancelled());
        assert_eq!(send(&uplink, 1), Sent::Over);
        uplink.half_close();
        begun.output.dropped().await;
        assert_eq!(begun.message().await, None);
    });
}

/// A handler that adds up what it is given must not take the end of its caller for the end of
/// its input, be it for a moment.
#[test]
fn a_cancelled_call_does_not_look_like_a_complete_input() {
    const ROUNDS: usize = 3_000;
    live(async {
        let mut peer = Peer::start();
        let mut wire = Wire::to(&peer);
        let connection = wire.connection();
        let shapes = [(Shape::Bidi, true), (Shape::Bidi, false), (Shape::Client, false)];
        // Rare when it happens: the end has to get between two steps of the cancellation.
        for (shape, peer_keeps_credit) in shapes.into_iter().cycle().take(ROUNDS) {
            let (uplink, _room) = uplink(shape, peer_keeps_credit, 10, 0);
            let running = Running::over(&connection, &uplink, shape, Deadlines::default());
            // Kept, so that the peer does not end the call.
            let _call = if shape == Shape::Client {
                (Some(peer.client_streams.next().await), None)
            } else {
                (None, Some(peer.exchanges.next().await.accept()))
            };
            running.task.abort();
            assert_eq!(wire.end().await, End::Reset, "{shape:?}, credit: {peer_keeps_credit}");
        }
    });
}

#[test]
fn a_call_cancelled_before_it_was_sent_is_never_sent() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (cancelled, _room) = uplink(Shape::Bidi, true, 10, 0);
        let pace = Arc::new(Pace::Peer(Arc::clone(&cancelled)));
        let stream = Stream::over_uplink(
            connection.clone(),
            Arc::clone(&cancelled),
            Shape::Bidi,
            pace,
            Deadlines::default(),
        );
        {
            let mut sink = Nobody;
            let run = pin!(stream.run(&mut sink));
            assert_eq!(run.now_or_never(), None);
        }
        assert_eq!(send(&cancelled, 0), Sent::Over);
        let (next, _room) = uplink(Shape::Server, true, 10, 0);
        let _running = Running::over(&connection, &next, Shape::Server, Deadlines::default());
        assert_eq!(Begun::accept(&mut peer).await.start.shape(), StreamShape::Server);
        assert!(peer.exchanges.is_empty());
    });
}

struct Nobody;

impl Sink for Nobody {
    fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool {
        panic!("nobody wants {chunks:?}");
    }
}

/// Takes chunks and acknowledges each at once from another thread, as a consumer in Erlang does.
struct Consumer(std::sync::mpsc::Sender<usize>);

impl Sink for Consumer {
    fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool {
        let numbers = chunks.iter().filter(|chunk| !chunk.is_final);
        numbers.for_each(|chunk| self.0.send(number(&chunk.chunk)).unwrap());
        true
    }
}

/// A stream of `count` chunks in and `count` chunks out; the producer, the consumer and both
/// runtimes are threads of their own, and a wake-up that is lost stops it for good.
fn echo_under_load(peer_keeps_credit: bool, window: usize, count: usize) {
    live(async move {
        let mut peer = Peer::start();
        let (sender, room) = channel();
        let rooms = Arc::new(AtomicUsize::new(0));
        let on_room = {
            let rooms = Arc::clone(&rooms);
            move || {
                rooms.fetch_add(1, Ordering::SeqCst);
                // The producer may have left.
                let _ = sender.send(());
            }
        };
        let uplink =
            Uplink::new(request("echo"), Shape::Bidi, peer_keeps_credit, window, 0, on_room);
        let pace = Arc::new(if peer_keeps_credit {
            Pace::Peer(Arc::clone(&uplink))
        } else {
            Pace::local(window, 0)
        });
        let (chunks, received) = channel();
        let stream = Stream::over_uplink(
            peer.connection(),
            Arc::clone(&uplink),
            Shape::Bidi,
            Arc::clone(&pace),
            Deadlines::default(),
        );
        let running = tokio::spawn(async move { stream.run(&mut Consumer(chunks)).await });

        let producer = std::thread::spawn(move || {
            let mut starved = 0;
            for number in 0..count {
                match send(&uplink, number) {
                    Sent::Room => {}
                    Sent::Full => {
                        starved += 1;
                        room.recv().unwrap();
                    }
                    Sent::Over => panic!("the call ended at chunk {number}"),
                }
            }
            uplink.half_close();
            starved
        });
        let consumer = std::thread::spawn(move || {
            for number in received.iter().enumerate() {
                assert_eq!(number.0, number.1);
                pace.acknowledge(1);
            }
        });

        let mut begun = Begun::accept(&mut peer).await;
        let mut credit = window;
        let mut waiting = std::collections::VecDeque::new();
        let mut echoed = 0;
        while echoed < count {
            match begun.message().await {
                Some(Message::Chunk(chunk)) => {
                    assert!(!peer_keeps_credit || waiting.len() < window);
                    waiting.push_back(number(&chunk.chunk));
                }
                Some(Message::Ack(chunks)) => credit += chunks as usize,
                Some(Message::HalfClose(_)) | None => {}
                other => panic!("{other:?}"),
            }
            while (credit > 0 || !peer_keeps_credit) && !waiting.is_empty() {
                credit = credit.saturating_sub(1);
                let ack = u32::from(peer_keeps_credit);
                let number = waiting.pop_front().unwrap();
                begun.output.send(StreamResponse { ack, ..chunk(number) });
                echoed += 1;
            }
        }
        begun.output.send(last());
        drop(begun);
        assert_eq!(running.await.unwrap(), Ok(()));
        consumer.join().unwrap();
        let starved: usize = producer.join().unwrap();
        assert_eq!(rooms.load(Ordering::SeqCst), starved, "told of room once per starvation");
    });
}

#[test]
fn no_wake_up_is_lost_under_credit() {
    echo_under_load(true, 1, 3_000);
    echo_under_load(true, 3, 10_000);
}

#[test]
fn no_wake_up_is_lost_without_credit() {
    echo_under_load(false, 1, 3_000);
    echo_under_load(false, 3, 10_000);
}

#[test]
fn a_client_stream_to_a_plain_peer_ends_with_its_one_response() {
    frozen(async {
        let mut peer = Peer::start();
        let (uplink, _room) = uplink(Shape::Client, false, 10, 0);
        let running =
            Running::over(&peer.connection(), &uplink, Shape::Client, Deadlines::default());
        send(&uplink, 4);
        uplink.half_close();
        let mut call = peer.client_streams.next().await;
        assert!(matches!(message(&mut call.request).await, Some(Message::Start(_))));
        assert!(matches!(message(&mut call.request).await, Some(Message::Chunk(_))));
        assert_eq!(message(&mut call.request).await, None);
        call.answer(Ok(ExecuteResponse { result: vec![numbered(4)], ..support::response(vec![]) }));
        let (chunks, result) = running.end().await;
        assert_eq!(chunks, [StreamResponse { chunk: vec![numbered(4)], ..last() }]);
        assert_eq!(result, Ok(()));
    });
}
