//! A stream as its consumer sees it: exactly one final chunk or an error, in time, at the
//! consumer's pace, and stopped when nobody wants it any more.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use snakepit_client::{
    CallError, Connection, Deadlines, Options, Pace, Request, Shape, Sink, Stream, Uplink, health,
    unary,
};
use snakepit_protocol::pb::stream_request::Message;
use snakepit_protocol::pb::{ErrorDetail, ExecuteResponse, StreamRequest, StreamResponse};
use support::peer::{Outlet, Peer};
use support::{
    Running, ack, chunk, chunk_of, entry, frozen, last, live, number, numbered, request, response,
    round_trip,
};
use tokio::time::{Instant, advance};
use tonic::{Status, Streaming};

const HOUR: Duration = Duration::from_secs(3600);

/// As many as may be read ahead without being in anybody's way.
fn wide() -> Arc<Pace> {
    Arc::new(Pace::local(1_000, 0))
}

/// A stream from a peer without credit, and the peer's end of it.
async fn plain(peer: &mut Peer, connection: &Connection) -> (Running, Outlet<StreamResponse>) {
    let running = Running::plain(connection, &wide(), Deadlines::default());
    let (_request, output) = peer.streams.next().await.accept();
    (running, output)
}

fn credit(window: usize) -> Arc<Uplink> {
    Uplink::new(request("count"), Shape::Server, true, window, 0, || {})
}

/// A stream from a peer with credit, and the peer's end of it, of which the start is read.
async fn with_credit(
    peer: &mut Peer,
    connection: &Connection,
    uplink: &Arc<Uplink>,
    deadlines: Deadlines,
) -> (Running, Streaming<StreamRequest>, Outlet<StreamResponse>) {
    let running = Running::over(connection, uplink, Shape::Server, deadlines);
    let (mut input, output) = peer.exchanges.next().await.accept();
    let start = input.message().await.unwrap().unwrap().message;
    assert!(matches!(start, Some(Message::Start(_))), "{start:?}");
    (running, input, output)
}

fn failed(text: &str) -> StreamResponse {
    let detail = ErrorDetail {
        kind: "python".to_owned(),
        r#type: "ValueError".to_owned(),
        message: text.to_owned(),
        ..ErrorDetail::default()
    };
    StreamResponse { error: text.to_owned(), detail: Some(detail), ..last() }
}

mod end {
    use super::*;

    #[test]
    fn a_final_chunk_ends_the_stream() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (running, output) = plain(&mut peer, &connection).await;
            output.send(chunk(1));
            output.send(StreamResponse { chunk: vec![numbered(2)], ..last() });
            drop(output);
            let (chunks, result) = running.end().await;
            assert_eq!(chunks, [chunk(1), StreamResponse { chunk: vec![numbered(2)], ..last() }]);
            assert_eq!(result, Ok(()));
        });
    }

    #[test]
    fn nothing_is_given_after_the_final_chunk() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (running, output) = plain(&mut peer, &connection).await;
            for late in [last(), chunk(1), last(), failed("too late")] {
                output.send(late);
            }
            drop(output);
            assert_eq!(running.end().await, (vec![last()], Ok(())));
        });
    }

    #[test]
    fn an_error_of_the_handler_is_the_final_chunk_and_then_the_result() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (running, output) = plain(&mut peer, &connection).await;
            output.send(chunk(1));
            output.send(failed("no such epoch"));
            drop(output);
            let (chunks, result) = running.end().await;
            assert_eq!(chunks, [chunk(1), failed("no such epoch")]);
            let Err(CallError::Remote(error)) = result else {
                panic!("{result:?}");
            };
            assert_eq!(
                (error.message.as_str(), error.python_type.as_str()),
                ("no such epoch", "ValueError")
            );
        });
    }

    #[test]
    fn an_error_ends_the_stream_also_without_the_flag_and_without_detail() {
        frozen(async {
            let mut peer = Peer::start();
            let bare = StreamResponse { error: "it broke".to_owned(), ..StreamResponse::default() };
            for error in [bare.clone(), StreamResponse { ack: 1, ..bare }] {
                let connection = peer.connection();
                let uplink = credit(8);
                let (running, _input, output) =
                    with_credit(&mut peer, &connection, &uplink, Deadlines::default()).await;
                output.send(error.clone());
                output.send(chunk(1));
                drop(output);
                let (chunks, result) = running.end().await;
                assert_eq!(chunks, [error]);
                assert!(matches!(result, Err(CallError::Remote(e)) if e.message == "it broke"));
            }
        });
    }

    #[test]
    fn an_end_without_a_final_chunk_breaks_the_contract() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            for chunks in [0, 3] {
                let (running, output) = plain(&mut peer, &connection).await;
                (0..chunks).for_each(|number| output.send(chunk(number)));
                drop(output);
                let (given, result) = running.end().await;
                assert_eq!(given.len(), chunks);
                assert!(matches!(result, Err(CallError::Protocol(_))), "{result:?}");
            }
        });
    }

    #[test]
    fn a_status_ends_the_stream_behind_the_chunks_before_it() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (running, output) = plain(&mut peer, &connection).await;
            output.send(chunk(1));
            output.fail(Status::unimplemented("no streams here"));
            let (chunks, result) = running.end().await;
            assert_eq!(chunks, [chunk(1)]);
            assert_eq!(result, Err(CallError::Unimplemented("no streams here".to_owned())));
        });
    }

    #[test]
    fn a_sink_that_wants_no_more_cancels() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (mut running, output) = plain(&mut peer, &connection).await;
            running.batches.close();
            output.send(chunk(1));
            assert_eq!(running.task.await.unwrap(), Err(CallError::Cancelled));
            output.dropped().await;
        });
    }

    #[test]
    fn acknowledgements_alone_are_no_chunks() {
        frozen(async {
            let mut peer = Peer::start();
            let uplink = credit(8);
            let connection = peer.connection();
            let (running, _input, output) =
                with_credit(&mut peer, &connection, &uplink, Deadlines::default()).await;
            for message in [ack(1), ack(2), StreamResponse { ack: 1, ..chunk(1) }, ack(1)] {
                output.send(message);
            }
            output.send(StreamResponse { ack: 1, ..last() });
            drop(output);
            let (chunks, result) = running.end().await;
            let last = StreamResponse { ack: 1, ..last() };
            assert_eq!(chunks, [StreamResponse { ack: 1, ..chunk(1) }, last]);
            assert_eq!(result, Ok(()));
        });
    }

    /// Closes its connection with the final chunk.
    struct ClosesAtTheEnd(Connection);

    impl Sink for ClosesAtTheEnd {
        fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool {
            if chunks.iter().any(|chunk| chunk.is_final) {
                self.0.close();
            }
            true
        }
    }

    #[test]
    fn what_happens_after_the_final_chunk_does_not_change_the_result() {
        live(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let mut sink = ClosesAtTheEnd(connection.clone());
            let stream = Stream::plain(connection, request("count"), wide(), Deadlines::default());
            let running = tokio::spawn(async move { stream.run(&mut sink).await });
            let (_request, output) = peer.streams.next().await.accept();
            output.send(last());
            // The peer does not end the stream, and the client does not wait for it for long.
            assert_eq!(running.await.unwrap(), Ok(()));
            output.dropped().await;
        });
    }

    #[test]
    fn the_one_response_of_a_plain_client_stream_may_be_an_error() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            for error in ["no lines", ""] {
                let uplink = Uplink::new(request("sum"), Shape::Client, false, 8, 0, || {});
                let running =
                    Running::over(&connection, &uplink, Shape::Client, Deadlines::default());
                let failed =
                    ExecuteResponse { error: error.to_owned(), ..ExecuteResponse::default() };
                peer.client_streams.next().await.answer(Ok(failed));
                let (chunks, result) = running.end().await;
                assert_eq!(chunks.len(), 1);
                assert!(chunks[0].is_final);
                assert!(matches!(result, Err(CallError::Remote(e)) if e.message == error));
            }
        });
    }
}

mod time {
    use super::*;

    fn call(limit: Duration) -> Deadlines {
        Deadlines { call: Some(Instant::now() + limit), chunk: None }
    }

    fn silence(limit: Duration) -> Deadlines {
        Deadlines { call: None, chunk: Some(limit) }
    }

    const LIMIT: Duration = Duration::from_millis(500);
    const ALMOST: Duration = Duration::from_millis(499);
    const MOMENT: Duration = Duration::from_millis(2);

    #[test]
    fn the_deadline_holds_for_the_headers() {
        frozen(async {
            let mut peer = Peer::start();
            let running = Running::plain(&peer.connection(), &wide(), call(LIMIT));
            let unanswered = peer.streams.next().await;
            advance(ALMOST).await;
            assert!(!running.task.is_finished());
            advance(MOMENT).await;
            assert_eq!(running.end().await, (vec![], Err(CallError::DeadlineExceeded)));
            unanswered.dropped().await;
        });
    }

    #[test]
    fn the_deadline_holds_for_every_message() {
        frozen(async {
            let mut peer = Peer::start();
            let mut running = Running::plain(&peer.connection(), &wide(), call(LIMIT));
            let (_request, output) = peer.streams.next().await.accept();
            for number in 0..5 {
                output.send(chunk(number));
                running.chunk().await;
                advance(LIMIT / 5 - MOMENT).await;
            }
            advance(5 * MOMENT).await;
            assert_eq!(running.end().await, (vec![], Err(CallError::DeadlineExceeded)));
            output.dropped().await;
        });
    }

    #[test]
    fn the_deadline_holds_while_the_consumer_holds_up_the_stream() {
        frozen(async {
            let mut peer = Peer::start();
            let pace = Arc::new(Pace::local(1, 0));
            let mut running = Running::plain(&peer.connection(), &pace, call(LIMIT));
            let (_request, output) = peer.streams.next().await.accept();
            output.send(chunk(0));
            output.send(chunk(1));
            running.chunk().await;
            advance(LIMIT + MOMENT).await;
            assert_eq!(running.end().await, (vec![], Err(CallError::DeadlineExceeded)));
            output.dropped().await;
        });
    }

    #[test]
    fn a_deadline_in_the_past_is_exceeded_at_once() {
        frozen(async {
            let peer = Peer::start();
            let deadline = call(Duration::ZERO);
            advance(MOMENT).await;
            let running = Running::plain(&peer.connection(), &wide(), deadline);
            assert_eq!(running.end().await, (vec![], Err(CallError::DeadlineExceeded)));
        });
    }

    #[test]
    fn a_clock_that_jumps_is_a_deadline_too() {
        frozen(async {
            let mut peer = Peer::start();
            // Far beyond, so that every timer on the way to the peer is over as well.
            let running = Running::plain(&peer.connection(), &wide(), call(LIMIT));
            let unanswered = peer.streams.next().await;
            advance(HOUR).await;
            assert_eq!(running.end().await, (vec![], Err(CallError::DeadlineExceeded)));
            unanswered.dropped().await;
        });
    }

    #[test]
    fn a_silence_longer_than_a_chunk_may_take_ends_the_stream() {
        frozen(async {
            let mut peer = Peer::start();
            let mut running = Running::plain(&peer.connection(), &wide(), silence(LIMIT));
            let (_request, output) = peer.streams.next().await.accept();
            // In all longer than the limit, but no silence is.
            for number in 0..5 {
                output.send(chunk(number));
                running.chunk().await;
                advance(ALMOST).await;
                assert!(!running.task.is_finished());
            }
            advance(MOMENT).await;
            assert_eq!(running.end().await, (vec![], Err(CallError::ChunkTimeout)));
            output.dropped().await;
        });
    }

    #[test]
    fn a_worker_without_credit_is_not_silent() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let uplink = credit(2);
            let pace = Pace::Peer(Arc::clone(&uplink));
            let (mut running, mut input, output) =
                with_credit(&mut peer, &connection, &uplink, silence(LIMIT)).await;
            for number in 0..2 {
                output.send(chunk(number));
                running.chunk().await;
            }
            // Both are with the consumer, which takes its time.
            advance(HOUR).await;
            round_trip(&connection).await;
            assert!(!running.task.is_finished());
            pace.acknowledge(1);
            assert_eq!(input.message().await.unwrap().unwrap().message, Some(Message::Ack(1)));
            advance(ALMOST).await;
            assert!(!running.task.is_finished());
            // Now the silence is the worker's own.
            advance(MOMENT).await;
            assert_eq!(running.end().await, (vec![], Err(CallError::ChunkTimeout)));
            output.dropped().await;
        });
    }

    #[test]
    fn an_unread_worker_is_not_silent() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let pace = Arc::new(Pace::local(1, 0));
            let mut running = Running::plain(&connection, &pace, silence(LIMIT));
            let (_request, output) = peer.streams.next().await.accept();
            output.send(chunk(0));
            running.chunk().await;
            advance(HOUR).await;
            round_trip(&connection).await;
            assert!(!running.task.is_finished());
            pace.acknowledge(1);
            round_trip(&connection).await;
            advance(LIMIT + MOMENT).await;
            assert_eq!(running.end().await, (vec![], Err(CallError::ChunkTimeout)));
            output.dropped().await;
        });
    }

    #[test]
    fn the_peer_is_told_the_deadline_with_some_grace() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let running = Running::plain(&connection, &wide(), call(LIMIT));
            let (_request, output) = peer.streams.next().await.accept();
            output.send(last());
            drop(output);
            assert_eq!(running.end().await.1, Ok(()));
            let limited = Request { timeout_ms: 500, ..request("echo") };
            let answering = async { peer.executes.next().await.answer(Ok(response(vec![]))) };
            let (answer, ()) = tokio::join!(unary(&connection, limited), answering);
            assert_eq!(answer, Ok(response(vec![])));
            assert_eq!(peer.timeouts(), [Some("1500000u".to_owned()), Some("1500000u".to_owned())]);
        });
    }

    #[test]
    fn health_has_a_deadline_of_its_own() {
        frozen(async {
            let peer = Peer::start();
            let connection = peer.connection();
            round_trip(&connection).await;
            peer.hold();
            let asked = tokio::spawn(async move { health(&connection, LIMIT).await });
            peer.held().await;
            advance(LIMIT + MOMENT).await;
            assert_eq!(asked.await.unwrap(), Err(CallError::DeadlineExceeded));
        });
    }
}

mod pace {
    use super::*;

    #[test]
    fn the_first_chunk_is_not_held_back_for_a_second() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (mut running, output) = plain(&mut peer, &connection).await;
            for number in 0..100 {
                output.send(chunk(number));
                assert_eq!(running.chunk().await, chunk(number));
            }
        });
    }

    /// Takes what is given, and says when it was given something, until told to go on.
    struct Gated {
        batches: tokio::sync::mpsc::UnboundedSender<Vec<StreamResponse>>,
        gate: std::sync::mpsc::Receiver<()>,
    }

    impl Sink for Gated {
        fn chunks(&mut self, chunks: Vec<StreamResponse>) -> bool {
            self.batches.send(chunks).unwrap();
            self.gate.recv().unwrap();
            true
        }
    }

    #[test]
    fn what_is_ready_together_is_given_together_and_in_order() {
        live(async {
            const CHUNKS: usize = 500;
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (batches, mut given) = tokio::sync::mpsc::unbounded_channel();
            let (open, gate) = std::sync::mpsc::channel();
            let pace = Arc::new(Pace::local(CHUNKS + 2, 0));
            let stream =
                Stream::plain(connection.clone(), request("count"), pace, Deadlines::default());
            let running =
                tokio::spawn(async move { stream.run(&mut Gated { batches, gate }).await });
            let (_request, output) = peer.streams.next().await.accept();
            output.send(chunk(0));
            assert_eq!(given.recv().await.unwrap(), [chunk(0)]);
            // While the consumer is at the first, all the others arrive: a health call that was
            // sent behind them is answered behind them.
            (1..CHUNKS).for_each(|number| output.send(chunk(number)));
            output.send(last());
            drop(output);
            for _ in 0..20 {
                round_trip(&connection).await;
            }
            let mut chunks = vec![chunk(0)];
            let mut batches = 0;
            open.send(()).unwrap();
            while let Some(batch) = given.recv().await {
                batches += 1;
                assert!(!batch.is_empty() && batch.len() <= 64, "{} chunks", batch.len());
                chunks.extend(batch);
                open.send(()).unwrap();
            }
            assert_eq!(running.await.unwrap(), Ok(()));
            assert_eq!(chunks.pop(), Some(last()));
            assert!(chunks.iter().map(|chunk| number(&chunk.chunk)).eq(0..CHUNKS));
            assert!(batches < CHUNKS / 8, "{batches} batches of {CHUNKS} chunks");
        });
    }

    /// What a peer gives when nobody takes it is bounded by HTTP/2's windows.
    #[test]
    fn without_credit_reading_stops_and_so_does_the_peer() {
        frozen(async {
            const CHUNKS: usize = 500;
            const WINDOW: usize = 4;
            let mut peer = Peer::start();
            let connection = peer.connection();
            let pace = Arc::new(Pace::local(WINDOW, 0));
            let mut running = Running::plain(&connection, &pace, Deadlines::default());
            let made = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&made);
            let chunks = (0..CHUNKS).map(move |number| {
                counter.fetch_add(1, Ordering::SeqCst);
                let is_final = number == CHUNKS - 1;
                Ok(StreamResponse { is_final, ..chunk_of(64 * 1024) })
            });
            let chunks = futures_util::stream::iter(chunks);
            peer.streams.next().await.answer(Ok(chunks.boxed()));

            let mut given = 0;
            while given < WINDOW {
                given += running.batch().await.unwrap().len();
            }
            // The counter stands still for many round trips over the same connection.
            let (mut standing, mut seen) = (0, 0);
            while standing < 100 {
                round_trip(&connection).await;
                let now = made.load(Ordering::SeqCst);
                standing = if now == seen { standing + 1 } else { 0 };
                seen = now;
            }
            assert!(seen < CHUNKS / 2, "{seen} chunks were made for nobody");
            assert_eq!(given, WINDOW);
            assert!(running.batches.is_empty());

            // Never more than the window, and all of them in the end.
            let mut acknowledged = 0;
            while given < CHUNKS {
                pace.acknowledge(1);
                acknowledged += 1;
                given += running.batch().await.unwrap().len();
                assert!(given <= acknowledged + WINDOW);
            }
            assert_eq!(running.end().await, (vec![], Ok(())));
            assert_eq!(made.load(Ordering::SeqCst), CHUNKS);
        });
    }

    #[test]
    fn without_credit_bytes_are_counted_too() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let pace = Arc::new(Pace::local(1_000, 100_000));
            let mut running = Running::plain(&connection, &pace, Deadlines::default());
            let (_request, output) = peer.streams.next().await.accept();
            (0..10).for_each(|_| output.send(chunk_of(60_000)));
            let mut given = 0;
            while given < 2 {
                given += running.batch().await.unwrap().len();
            }
            for _ in 0..20 {
                round_trip(&connection).await;
            }
            assert_eq!(given, 2);
            assert!(running.batches.is_empty());
            pace.acknowledge(2);
            assert!(running.batch().await.unwrap().len() <= 2);
        });
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_grants_nothing() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let pace = Arc::new(Pace::local(1, 0));
            pace.acknowledge(5);
            let mut running = Running::plain(&connection, &pace, Deadlines::default());
            let (_request, output) = peer.streams.next().await.accept();
            (0..3).for_each(|number| output.send(chunk(number)));
            assert_eq!(running.chunk().await, chunk(0));
            for _ in 0..20 {
                round_trip(&connection).await;
            }
            assert!(running.batches.is_empty());
            pace.acknowledge(1);
            assert_eq!(running.chunk().await, chunk(1));
        });
    }

    /// The consumer acknowledges from a thread of its own, one chunk at a time: a wake-up that
    /// is lost stops the stream for good.
    #[test]
    fn no_acknowledgement_is_lost() {
        live(async {
            const CHUNKS: usize = 3_000;
            for window in [1, 2] {
                let mut peer = Peer::start();
                let pace = Arc::new(Pace::local(window, 0));
                let running = Running::plain(&peer.connection(), &pace, Deadlines::default());
                let (_request, output) = peer.streams.next().await.accept();
                (0..CHUNKS).for_each(|number| output.send(chunk(number)));
                output.send(last());
                drop(output);
                let Running { mut batches, task } = running;
                let consumer = std::thread::spawn(move || {
                    let mut numbers = Vec::new();
                    while let Some(batch) = batches.blocking_recv() {
                        assert!(batch.len() <= window);
                        for chunk in batch.iter().filter(|chunk| !chunk.is_final) {
                            numbers.push(number(&chunk.chunk));
                            pace.acknowledge(1);
                        }
                    }
                    numbers
                });
                assert_eq!(task.await.unwrap(), Ok(()));
                assert!(consumer.join().unwrap().into_iter().eq(0..CHUNKS));
            }
        });
    }

    #[test]
    fn with_credit_the_end_is_noticed_while_the_consumer_is_busy() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let uplink = credit(1);
            let (mut running, _input, output) =
                with_credit(&mut peer, &connection, &uplink, Deadlines::default()).await;
            output.send(chunk(0));
            running.chunk().await;
            peer.die();
            assert_eq!(running.end().await, (vec![], Err(CallError::WorkerExited)));
        });
    }
}

mod stop {
    use super::*;

    #[test]
    fn dropping_the_future_resets_the_stream() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (mut running, output) = plain(&mut peer, &connection).await;
            output.send(chunk(0));
            running.chunk().await;
            running.task.abort();
            output.dropped().await;
            // The connection is none the worse for it.
            round_trip(&connection).await;
        });
    }

    #[test]
    fn dropping_the_future_resets_a_stream_with_credit() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let uplink = credit(1);
            let (mut running, _input, output) =
                with_credit(&mut peer, &connection, &uplink, Deadlines::default()).await;
            output.send(chunk(0));
            running.chunk().await;
            round_trip(&connection).await;
            running.task.abort();
            output.dropped().await;
        });
    }

    #[test]
    fn dropping_the_future_resets_a_stream_that_waits_for_its_consumer() {
        frozen(async {
            let mut peer = Peer::start();
            let pace = Arc::new(Pace::local(1, 0));
            let mut running = Running::plain(&peer.connection(), &pace, Deadlines::default());
            let (_request, output) = peer.streams.next().await.accept();
            output.send(chunk(0));
            output.send(chunk(1));
            running.chunk().await;
            running.task.abort();
            output.dropped().await;
        });
    }

    #[test]
    fn dropping_the_future_calls_off_an_unanswered_call() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let streaming = Running::plain(&connection, &wide(), Deadlines::default());
            let unanswered = peer.streams.next().await;
            streaming.task.abort();
            unanswered.dropped().await;

            let clone = connection.clone();
            let calling = tokio::spawn(async move { unary(&clone, request("echo")).await });
            let unanswered = peer.executes.next().await;
            calling.abort();
            unanswered.dropped().await;
        });
    }

    #[test]
    fn a_peer_may_take_a_moment_from_its_final_chunk_to_the_end() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            for (in_time, moment) in [(true, 99), (false, 101)] {
                let uplink = credit(1);
                let (mut running, mut input, output) =
                    with_credit(&mut peer, &connection, &uplink, Deadlines::default()).await;
                output.send(last());
                assert_eq!(running.chunk().await, last());
                round_trip(&connection).await;
                assert!(!running.task.is_finished());
                advance(Duration::from_millis(moment)).await;
                if in_time {
                    round_trip(&connection).await;
                    assert!(!output.is_dropped());
                } else {
                    output.dropped().await;
                }
                drop(output);
                assert_eq!(running.end().await, (vec![], Ok(())));
                assert!(!in_time || input.message().await.unwrap().is_none());
            }
        });
    }

    #[test]
    fn many_cancelled_streams_leave_the_connection_whole() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            for _ in 0..2_000 {
                let (mut running, output) = plain(&mut peer, &connection).await;
                (0..3).for_each(|number| output.send(chunk(number)));
                running.batch().await.unwrap();
                running.task.abort();
            }
            round_trip(&connection).await;
        });
    }

    #[test]
    fn closing_the_connection_ends_what_runs_and_what_comes() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (streaming, output) = plain(&mut peer, &connection).await;
            let clone = connection.clone();
            let calling = tokio::spawn(async move { unary(&clone, request("echo")).await });
            let unanswered = peer.executes.next().await;
            connection.close();
            assert_eq!(streaming.end().await, (vec![], Err(CallError::WorkerExited)));
            assert_eq!(calling.await.unwrap(), Err(CallError::WorkerExited));
            output.dropped().await;
            unanswered.dropped().await;
            let unsent = unary(&connection, request("echo")).await;
            assert!(matches!(unsent, Err(CallError::Unavailable(_))));
            assert!(matches!(health(&connection, HOUR).await, Err(CallError::Unavailable(_))));
            let later = Running::plain(&connection, &wide(), Deadlines::default());
            assert!(matches!(later.end().await, (_, Err(CallError::Unavailable(_)))));
        });
    }
}

mod connection {
    use super::*;

    async fn stream_over(connection: &Connection) -> Result<(), CallError> {
        Running::plain(connection, &wide(), Deadlines::default()).end().await.1
    }

    #[test]
    fn a_peer_that_is_not_there_is_unavailable() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            peer.die();
            let nowhere =
                Options { target: "unix:/nonexistent/peer.sock".to_owned(), ..peer.options() };
            for connection in [connection, Connection::new(&nowhere).unwrap()] {
                let refused = stream_over(&connection).await;
                assert!(matches!(refused, Err(CallError::Unavailable(_))), "{refused:?}");
                let refused = unary(&connection, request("echo")).await;
                assert!(matches!(refused, Err(CallError::Unavailable(_))), "{refused:?}");
                let refused = health(&connection, HOUR).await;
                assert!(matches!(refused, Err(CallError::Unavailable(_))), "{refused:?}");
            }
        });
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        frozen(async {
            let peer = Peer::start();
            let options = Options { target: "not an address".to_owned(), ..peer.options() };
            let refused = Connection::new(&options).map(|_| ());
            assert!(matches!(refused, Err(CallError::Unavailable(_))), "{refused:?}");
            let options = Options { token: Some("two\nlines".to_owned()), ..peer.options() };
            assert!(Connection::new(&options).is_err());
        });
    }

    #[test]
    fn a_connection_that_breaks_says_that_the_worker_exited() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let (streaming, output) = plain(&mut peer, &connection).await;
            output.send(chunk(0));
            let waiting = Running::plain(&connection, &wide(), Deadlines::default());
            let _unanswered_stream = peer.streams.next().await;
            let clone = connection.clone();
            let calling = tokio::spawn(async move { unary(&clone, request("echo")).await });
            let _unanswered_call = peer.executes.next().await;
            peer.die();
            let (chunks, result) = streaming.end().await;
            assert!(chunks.len() <= 1);
            assert_eq!(result, Err(CallError::WorkerExited));
            assert_eq!(waiting.end().await, (vec![], Err(CallError::WorkerExited)));
            assert_eq!(calling.await.unwrap(), Err(CallError::WorkerExited));
            // Whoever calls later finds nobody.
            assert!(matches!(stream_over(&connection).await, Err(CallError::Unavailable(_))));
        });
    }

    #[test]
    fn a_message_above_the_limit_is_too_large() {
        frozen(async {
            let mut peer = Peer::start();
            let options = Options { max_message_size: 100_000, ..peer.options() };
            let connection = Connection::new(&options).unwrap();
            let (running, output) = plain(&mut peer, &connection).await;
            output.send(chunk(0));
            output.send(chunk_of(500_000));
            let (chunks, result) = running.end().await;
            assert_eq!(chunks, [chunk(0)]);
            assert!(matches!(result, Err(CallError::TooLarge(_))), "{result:?}");
            output.dropped().await;

            let answering = async {
                let answer = response(vec![entry("data", vec![0; 500_000])]);
                peer.executes.next().await.answer(Ok(answer));
            };
            let (answer, ()) = tokio::join!(unary(&connection, request("echo")), answering);
            assert!(matches!(answer, Err(CallError::TooLarge(_))), "{answer:?}");
            round_trip(&connection).await;
        });
    }

    #[test]
    fn a_request_above_the_limit_is_too_large() {
        frozen(async {
            let peer = Peer::start();
            let options = Options { max_message_size: 100_000, ..peer.options() };
            let connection = Connection::new(&options).unwrap();
            let large = Request { args: vec![entry("data", vec![0; 500_000])], ..request("echo") };
            let answer = unary(&connection, large.clone()).await;
            assert!(matches!(answer, Err(CallError::TooLarge(_))), "{answer:?}");
            let stream = Stream::plain(connection.clone(), large, wide(), Deadlines::default());
            let (chunks, result) = Running::start(stream).end().await;
            assert!(chunks.is_empty());
            assert!(matches!(result, Err(CallError::TooLarge(_))), "{result:?}");
            round_trip(&connection).await;
        });
    }

    #[test]
    fn the_token_is_sent_with_every_call() {
        frozen(async {
            let mut peer = Peer::start();
            let options = Options { token: Some("s3cret".to_owned()), ..peer.options() };
            let connection = Connection::new(&options).unwrap();
            round_trip(&connection).await;
            let _stream = plain(&mut peer, &connection).await;
            let uplink = credit(1);
            let _exchange =
                with_credit(&mut peer, &connection, &uplink, Deadlines::default()).await;
            let clone = connection.clone();
            let _unary = tokio::spawn(async move { unary(&clone, request("echo")).await });
            peer.executes.next().await;
            tokio::spawn(connection.open_lane().unwrap());
            peer.lanes.next().await;
            assert_eq!(peer.tokens(), vec![Some("Bearer s3cret".to_owned()); 5]);

            let without = Peer::start();
            round_trip(&without.connection()).await;
            assert_eq!(without.tokens(), [None]);
        });
    }

    #[test]
    fn calls_of_a_session_go_to_the_methods_of_sessions() {
        frozen(async {
            let mut peer = Peer::start();
            let connection = peer.connection();
            let session_id = Some("user-1".to_owned());
            let asked = Request { session_id, ..request("count") };
            let answering = async {
                let call = peer.sessions.next().await;
                assert_eq!(call.request.session_id, "user-1");
                call.answer(Ok(response(vec![numbered(1)])));
            };
            let (answer, ()) = tokio::join!(unary(&connection, asked.clone()), answering);
            assert_eq!(answer, Ok(response(vec![numbered(1)])));
            let stream = Stream::plain(connection, asked, wide(), Deadlines::default());
            let running = Running::start(stream);
            let (request, output) = peer.session_streams.next().await.accept();
            assert_eq!(
                (request.session_id.as_str(), request.command.as_str()),
                ("user-1", "count")
            );
            output.send(last());
            drop(output);
            assert_eq!(running.end().await, (vec![last()], Ok(())));
        });
    }
}
