//! When a request is sent: at once by a caller that is alone, and together with those of others who
//! were told of their answers as well; nobody waits for long.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use prost::Message as _;
use snakepit_client::{Connection, Deadlines, Lane, Pace, Placed, Request};
use support::lane::{Other, Ticket, ask as call, frame, number_in, numbered_request, open};
use support::peer::Peer;
use support::wire::Wire;
use support::{
    Running, chunk, entry, frozen, last, live, number, numbered, request, response, round_trip,
    watched,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::advance;

/// So many requests wait for callers that are expected, at most.
const TOGETHER: usize = 8;

/// Longer than anybody is expected.
const LONG: Duration = Duration::from_millis(3);

/// So many callers that were told of their answers, and have not taken them.
async fn told(lane: &Arc<Lane>, other: &mut Other, callers: usize) -> Vec<Ticket> {
    let calls: Vec<_> = (0..callers).map(|number| call(lane, number)).collect();
    let mut ids = Vec::new();
    for _ in 0..callers {
        ids.push(other.id().await);
    }
    ids.into_iter().for_each(|id| other.reply(id, 0));
    let mut tickets = Vec::new();
    for (ticket, answer) in calls {
        answer.await.unwrap().unwrap();
        tickets.push(ticket);
    }
    tickets
}

/// Whether what was put on the lane until now waits.
async fn all_wait(connection: &Connection, other: &mut Other) -> bool {
    round_trip(connection).await;
    other.requests.message().now_or_never().is_none()
}

#[test]
fn requests_of_callers_that_are_told_together_go_out_together() {
    frozen(async {
        let mut peer = Peer::start();
        let mut wire = Wire::to(&peer);
        let connection = wire.connection();
        let (lane, _task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        let callers = told(&lane, &mut other, 3).await;
        callers[0].taken();
        let _first = call(&lane, 10);
        callers[1].taken();
        let _second = call(&lane, 11);
        assert!(all_wait(&connection, &mut other).await);
        // The last may have nothing to ask.
        callers[2].taken();
        assert_eq!(other.frame().await.1, Some(10));
        assert_eq!(other.frame().await.1, Some(11));
        let _third = call(&lane, 12);
        assert_eq!(other.frame().await.1, Some(12));

        // Three calls, the round trip, those that waited, and the one after them.
        for messages in [1, 1, 1, 1, 2, 1] {
            assert_eq!(wire.messages().await, messages);
        }
    });
}

#[test]
fn a_full_batch_does_not_wait_for_those_who_are_expected() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        let callers = told(&lane, &mut other, TOGETHER + 1).await;
        // The first is still expected when all the others have come.
        let (last, before) = callers[1..].split_last().unwrap();
        let mut calls = Vec::new();
        for (number, caller) in before.iter().enumerate() {
            caller.taken();
            calls.push(call(&lane, number));
        }
        assert!(all_wait(&connection, &mut other).await);
        last.taken();
        calls.push(call(&lane, before.len()));
        for number in 0..TOGETHER {
            assert_eq!(other.frame().await.1, Some(number));
        }
        drop(calls);
    });
}

#[test]
fn nobody_waits_for_long_for_a_caller_that_never_takes() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        // Again and again: what was expected before is not any more.
        for number in 1..4 {
            let callers = told(&lane, &mut other, 2).await;
            callers[0].taken();
            let _waits = call(&lane, number);
            assert!(all_wait(&connection, &mut other).await);
            advance(LONG).await;
            assert_eq!(other.frame().await.1, Some(number));
            let _alone = call(&lane, number);
            assert_eq!(other.frame().await.1, Some(number));
            // It comes late, when nobody counts on it.
            callers[1].taken();
        }
    });
}

#[test]
fn a_cancelled_request_that_waits_never_reaches_the_peer() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        let callers = told(&lane, &mut other, 2).await;
        callers[0].taken();
        let (cancelled, nothing) = call(&lane, 1);
        let _waits = call(&lane, 2);
        assert!(all_wait(&connection, &mut other).await);
        cancelled.cancel();
        assert!(nothing.await.is_err());
        callers[1].taken();
        let _last = call(&lane, 3);
        assert_eq!(other.frame().await.1, Some(2));
        assert_eq!(other.frame().await.1, Some(3));
    });
}

#[test]
fn requests_that_wait_when_the_connection_is_closed_were_not_sent() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        let callers = told(&lane, &mut other, 2).await;
        callers[0].taken();
        let (_ticket, answer) = call(&lane, 1);
        connection.close();
        let answer = answer.await.unwrap();
        assert!(matches!(answer, Err(snakepit_client::CallError::Unavailable(_))), "{answer:?}");
        task.await.unwrap();
        // There is nothing left to send.
        callers[1].taken();
    });
}

#[test]
fn requests_go_out_while_a_stream_is_under_way() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        let pace = Arc::new(Pace::local(16, 0));
        let mut stream = Running::plain(&connection, &pace, Deadlines::default());
        let (_, outlet) = peer.streams.next().await.accept();
        for number in 0..3 {
            let (_ticket, answer) = call(&lane, number);
            let (id, _) = other.frame().await;
            outlet.send(chunk(number));
            assert_eq!(self::number(&stream.chunk().await.chunk), number);
            other.reply(id, number);
            assert_eq!(number_in(answer.await.unwrap()), number);
            _ticket.taken();
        }
        let callers = told(&lane, &mut other, 2).await;
        callers[0].taken();
        let _waits = call(&lane, 7);
        callers[1].taken();
        assert_eq!(other.frame().await.1, Some(7));
        outlet.send(last());
        drop(outlet);
        assert_eq!(stream.end().await.1, Ok(()));
    });
}

/// A runtime whose only thread is the test's own: it does nothing unless the test waits for it.
fn still() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A lane on a runtime that stands still from now on.
fn established(runtime: &Runtime, peer: &mut Peer, connection: &Connection) -> (Arc<Lane>, Other) {
    runtime.block_on(async {
        let (lane, _task) = open(connection);
        let other = Other::accept(peer).await;
        round_trip(connection).await;
        (lane, other)
    })
}

#[test]
fn a_call_alone_is_on_its_way_when_call_returns() {
    watched(|| {
        let mut peer = Peer::start();
        let (runtime, elsewhere) = (still(), still());
        let connection = runtime.block_on(async { peer.connection() });
        let (lane, mut other) = established(&runtime, &mut peer, &connection);
        for number in 0..3 {
            let _call = call(&lane, number);
            assert_eq!(elsewhere.block_on(other.frame()).1, Some(number));
        }
    });
}

#[test]
fn a_call_is_not_sent_once_close_has_returned() {
    watched(|| {
        let mut peer = Peer::start();
        let runtime = still();
        let connection = runtime.block_on(async { peer.connection() });
        let (lane, _other) = established(&runtime, &mut peer, &connection);
        connection.close();
        let refused = lane.call_and_take(numbered_request(0), |_, _| {}).unwrap_err();
        assert!(matches!(refused, snakepit_client::CallError::Unavailable(_)), "{refused:?}");
    });
}

#[test]
fn the_last_caller_that_takes_sends_what_has_gathered_before_it_goes_on() {
    watched(|| {
        let mut peer = Peer::start();
        let (runtime, elsewhere) = (still(), still());
        let connection = runtime.block_on(async { peer.connection() });
        let (lane, mut other) = established(&runtime, &mut peer, &connection);
        let callers = runtime.block_on(told(&lane, &mut other, 2));
        callers[0].taken();
        let _call = call(&lane, 5);
        callers[1].taken();
        assert_eq!(elsewhere.block_on(other.frame()).1, Some(5));
    });
}

#[test]
fn a_caller_reads_little_of_a_large_answer_on_the_way() {
    const PARTS: usize = 2_000;
    const LITTLE: usize = 128 * 1024;
    watched(|| {
        let mut peer = Peer::start();
        let (runtime, elsewhere) = (still(), still());
        let wire = Wire::to(&peer);
        let connection = runtime.block_on(async { wire.connection() });
        let (lane, mut other) = established(&runtime, &mut peer, &connection);
        let (_large, _answer) = call(&lane, 1);
        let (id, _) = elsewhere.block_on(other.frame());
        let part = Bytes::from(vec![0; 4 * 1024]);
        (0..PARTS).for_each(|_| other.part(id, part.clone(), false));
        // Nobody reads: what has room is there.
        let before = settled(&wire);
        // The runtime learns that there is something to read, and has no time to do it.
        runtime.block_on(tokio::task::yield_now());
        let _small = call(&lane, 2);
        assert_eq!(elsewhere.block_on(other.frame()).1, Some(2));
        let read = settled(&wire) - before;
        assert!(read < LITTLE, "{read} bytes were read");
    });
}

/// How much the client's side has taken once it has no more room.
fn settled(wire: &Wire) -> usize {
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(50));
        match wire.taken() {
            taken if taken > 0 && taken == before => return taken,
            taken => before = taken,
        }
    }
}

#[test]
fn under_load_every_caller_that_takes_is_answered() {
    live(async {
        const THREADS: usize = 6;
        const CALLS: usize = 2_000;
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        tokio::spawn(async move {
            while let Ok(Some(request)) = other.requests.message().await {
                if let (id, Some(number)) = frame(request) {
                    other.reply(id, number);
                }
            }
        });
        let threads = (0..THREADS).map(|thread| {
            let lane = Arc::clone(&lane);
            std::thread::spawn(move || {
                for number in (0..CALLS).map(|index| thread * CALLS + index) {
                    let (sender, answers) = sync_channel(1);
                    let args = match number % 50 {
                        0 => vec![numbered(number), entry("data", vec![0; 200_000])],
                        _ => vec![numbered(number)],
                    };
                    let told = move |answer, _arrival| sender.send(answer).unwrap();
                    let asked = Request { args, ..request("echo") };
                    let placed = lane.call_and_take(asked, told).unwrap();
                    assert_eq!(number_in(answers.recv().unwrap()), number);
                    // Some never take theirs.
                    if matches!(placed, Placed::Waits(_)) && number % 11 > 0 {
                        lane.taken();
                    }
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        let join = || threads.into_iter().for_each(|thread| thread.join().unwrap());
        tokio::task::spawn_blocking(join).await.unwrap();
        assert!(connection.lane().is_some());
    });
}

#[test]
fn a_caller_that_does_not_take_its_answer_in_parts_holds_nobody_up() {
    live(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        let (_killed, answer) = call(&lane, 1);
        let id = other.id().await;
        other.part(id, response(vec![numbered(1)]).encode_to_vec().into(), true);
        assert_eq!(number_in(answer.await.unwrap()), 1);
        let _next = call(&lane, 2);
        assert_eq!(other.frame().await.1, Some(2));
    });
}
