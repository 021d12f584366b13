//! Many calls on one stream: every answer reaches its caller once, a cancelled call none, and the
//! end of the lane ends every call on it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use prost::Message as _;
use snakepit_client::{CallError, Connection, Lane, Options, Request, health};
use snakepit_protocol::LANE_MESSAGE_LIMIT;
use snakepit_protocol::pb::{Entry, ErrorDetail, ExecuteResponse, LaneReply, lane_request};
use support::lane::{Answer, Other, Ticket, frame, number_in, numbered_request, open, reply};
use support::peer::Peer;
use support::{entry, frozen, live, numbered, request, response, round_trip, watched};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tonic::Status;

/// Calls on a lane at once; above that it is busy.
const MAX_CALLS: usize = 16_384;

/// Makes a call whose number is its argument.
fn call(lane: &Arc<Lane>, number: usize) -> (Ticket, oneshot::Receiver<Answer>) {
    try_call(lane, numbered_request(number)).unwrap()
}

fn try_call(
    lane: &Arc<Lane>,
    request: Request,
) -> Result<(Ticket, oneshot::Receiver<Answer>), CallError> {
    let (sender, answer) = oneshot::channel();
    let id = lane.call(request, move |answer| {
        let _ = sender.send(answer);
    })?;
    Ok((Ticket::new(lane, id), answer))
}

fn limited_connection(peer: &Peer, max_message_size: usize) -> Connection {
    Connection::new(&Options { max_message_size, ..peer.options() }).unwrap()
}

/// A response with so many bytes in it, cut into parts.
fn parts(bytes: usize, size: usize) -> (ExecuteResponse, Vec<Bytes>) {
    let whole = response(vec![entry("data", (0..bytes).map(|n| n as u8).collect::<Vec<_>>())]);
    let encoded = Bytes::from(whole.encode_to_vec());
    let cut = (0..encoded.len()).step_by(size);
    let parts = cut.map(|from| encoded.slice(from..encoded.len().min(from + size))).collect();
    (whole, parts)
}

#[test]
fn answers_out_of_order_reach_their_callers() {
    frozen(async {
        const CALLS: usize = 1_000;
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let calls: Vec<_> = (0..CALLS).map(|number| call(&lane, number)).collect();
        let mut other = Other::accept(&mut peer).await;
        let mut frames = Vec::new();
        for _ in 0..CALLS {
            frames.push(other.frame().await);
        }
        assert_eq!(frames.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(), CALLS);
        // From both ends in turns.
        while !frames.is_empty() {
            let from_the_end = frames.len().is_multiple_of(2);
            let (id, number) = if from_the_end { frames.pop().unwrap() } else { frames.remove(0) };
            other.reply(id, number.unwrap() * 2);
        }
        for (number, (_ticket, answer)) in calls.into_iter().enumerate() {
            assert_eq!(number_in(answer.await.unwrap()), number * 2);
        }
    });
}

#[test]
fn a_call_carries_what_its_request_says() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let asked = Request {
            session_id: Some("user-1".to_owned()),
            args: vec![entry("text", "x")],
            timeout_ms: 250,
            request_id: "r1".to_owned(),
            metadata: vec![entry("trace", "t1")],
            ..request("summarize")
        };
        let (_first, answer) = try_call(&lane, asked.clone()).unwrap();
        let plain = Request { session_id: None, ..asked.clone() };
        let (_second, _) = try_call(&lane, plain).unwrap();
        let mut other = Other::accept(&mut peer).await;
        let first = other.requests.message().await.unwrap().unwrap();
        let Some(lane_request::Message::Session(call)) = first.message else {
            panic!("{first:?}");
        };
        assert_eq!((call.session_id.as_str(), call.command.as_str()), ("user-1", "summarize"));
        assert_eq!((call.args, call.metadata), (asked.args.clone(), asked.metadata.clone()));
        assert_eq!((call.timeout_ms, call.request_id.as_str()), (250, "r1"));
        let second = other.requests.message().await.unwrap().unwrap();
        let Some(lane_request::Message::Execute(call)) = second.message else {
            panic!("{second:?}");
        };
        assert_eq!((call.args, call.metadata), (asked.args, asked.metadata));

        let detail = ErrorDetail { kind: "python".to_owned(), ..ErrorDetail::default() };
        let failed = ExecuteResponse { detail: Some(detail), ..ExecuteResponse::default() };
        reply(&other.replies, first.id, failed);
        assert!(matches!(answer.await.unwrap(), Err(CallError::Remote(_))));
    });
}

#[test]
fn a_cancelled_call_that_was_sent_is_called_off_and_its_answer_goes_nowhere() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (cancelled, nothing) = call(&lane, 1);
        let mut other = Other::accept(&mut peer).await;
        let (id, _) = other.frame().await;
        cancelled.cancel();
        assert_eq!(other.frame().await, (id, None));
        // What the caller gave goes with the cancellation, not with a late answer.
        assert!(nothing.await.is_err());

        other.reply(id, 1);
        let (_ticket, answer) = call(&lane, 2);
        let (next, _) = other.frame().await;
        other.reply(next, 2);
        assert_eq!(number_in(answer.await.unwrap()), 2);
        // A second time there is nothing to cancel.
        cancelled.cancel();
        let (_ticket, _) = call(&lane, 3);
        assert_eq!(other.frame().await.1, Some(3));
    });
}

#[test]
fn a_call_cancelled_before_it_was_sent_is_never_sent() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (_first, _) = call(&lane, 1);
        let (cancelled, nothing) = call(&lane, 2);
        let (_third, _) = call(&lane, 3);
        cancelled.cancel();
        assert!(nothing.await.is_err());
        let mut other = Other::accept(&mut peer).await;
        assert_eq!(other.frame().await.1, Some(1));
        assert_eq!(other.frame().await.1, Some(3));
    });
}

#[test]
fn after_its_answer_a_call_cannot_be_cancelled() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (answered, answer) = call(&lane, 1);
        let mut other = Other::accept(&mut peer).await;
        let (id, _) = other.frame().await;
        other.reply(id, 1);
        assert_eq!(number_in(answer.await.unwrap()), 1);
        answered.cancel();
        let (_ticket, _) = call(&lane, 2);
        assert_eq!(other.frame().await.1, Some(2));
    });
}

#[test]
fn answers_nobody_waits_for_do_no_harm() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (_ticket, answer) = call(&lane, 1);
        let mut other = Other::accept(&mut peer).await;
        let (id, _) = other.frame().await;
        other.reply(id + 1, 9);
        other.part(id + 2, Bytes::from_static(b"x"), true);
        other.replies.send(LaneReply { id: id + 3, message: None });
        other.reply(id, 1);
        other.reply(id, 2);
        assert_eq!(number_in(answer.await.unwrap()), 1);
        let (_ticket, answer) = call(&lane, 3);
        let id = other.id().await;
        other.reply(id, 3);
        assert_eq!(number_in(answer.await.unwrap()), 3);
    });
}

#[test]
fn an_answer_in_parts_is_put_together_while_small_ones_pass() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (_large, large_answer) = call(&lane, 1);
        let (_small, small_answer) = call(&lane, 2);
        let (_other_large, other_large_answer) = call(&lane, 3);
        let mut other = Other::accept(&mut peer).await;
        let (large, small) = (other.frame().await.0, other.frame().await.0);
        let other_large = other.frame().await.0;
        let (whole, cut) = parts(1_000_000, 64 * 1024);
        for (index, part) in cut.iter().enumerate() {
            if index == cut.len() / 2 {
                other.reply(small, 2);
            }
            other.part(large, part.clone(), false);
            other.part(other_large, part.clone(), index == cut.len() - 1);
        }
        assert_eq!(number_in(small_answer.await.unwrap()), 2);
        assert_eq!(other_large_answer.await.unwrap(), Ok(whole.clone()));
        // The end may come with nothing in it.
        other.part(large, Bytes::new(), true);
        assert_eq!(large_answer.await.unwrap(), Ok(whole));
    });
}

#[test]
fn an_answer_in_parts_that_is_no_answer_breaks_the_contract_for_its_call_alone() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (_first, garbage_answer) = call(&lane, 1);
        let (_second, empty_answer) = call(&lane, 2);
        let (_third, answer) = call(&lane, 3);
        let mut other = Other::accept(&mut peer).await;
        let garbage = other.frame().await.0;
        let empty = other.frame().await.0;
        let good = other.frame().await.0;
        other.part(garbage, Bytes::from_static(b"\xff\xff\xff"), true);
        other.replies.send(LaneReply { id: empty, message: None });
        other.reply(good, 3);
        assert!(matches!(garbage_answer.await.unwrap(), Err(CallError::Protocol(_))));
        assert!(matches!(empty_answer.await.unwrap(), Err(CallError::Protocol(_))));
        assert_eq!(number_in(answer.await.unwrap()), 3);
    });
}

#[test]
fn an_answer_above_the_limit_is_too_large_and_the_others_go_on() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = limited_connection(&peer, 100_000);
        let (lane, _task) = open(&connection);
        let (_large, large_answer) = call(&lane, 1);
        let (_small, small_answer) = call(&lane, 2);
        let mut other = Other::accept(&mut peer).await;
        let (large, small) = (other.frame().await.0, other.frame().await.0);
        for _ in 0..3 {
            other.part(large, Bytes::from(vec![0; 60_000]), false);
        }
        let refused = large_answer.await.unwrap();
        assert!(matches!(refused, Err(CallError::TooLarge(_))), "{refused:?}");
        other.part(large, Bytes::new(), true);
        other.reply(small, 2);
        assert_eq!(number_in(small_answer.await.unwrap()), 2);
    });
}

#[test]
fn an_answer_whose_first_part_tells_of_too_much_is_refused_at_once() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = limited_connection(&peer, 100_000);
        let (lane, _task) = open(&connection);
        let (_large, large_answer) = call(&lane, 1);
        let (_fitting, fitting_answer) = call(&lane, 2);
        let mut other = Other::accept(&mut peer).await;
        let (large, fitting) = (other.frame().await.0, other.frame().await.0);
        other.part_of(large, Bytes::from_static(b"x"), false, u64::MAX);
        let refused = large_answer.await.unwrap();
        assert!(matches!(refused, Err(CallError::TooLarge(_))), "{refused:?}");

        let (whole, cut) = parts(90_000, 30_000);
        let size = cut.iter().map(Bytes::len).sum::<usize>() as u64;
        for (index, part) in cut.iter().enumerate() {
            let told = if index == 0 { size } else { 0 };
            other.part_of(fitting, part.clone(), index == cut.len() - 1, told);
        }
        assert_eq!(fitting_answer.await.unwrap(), Ok(whole));
    });
}

#[test]
fn an_answer_in_one_piece_above_the_limit_does_not_break_the_lane() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = limited_connection(&peer, 50_000);
        let (lane, _task) = open(&connection);
        let (_large, large_answer) = call(&lane, 1);
        let (_small, small_answer) = call(&lane, 2);
        let mut other = Other::accept(&mut peer).await;
        let (large, small) = (other.frame().await.0, other.frame().await.0);
        // A worker counts the values alone, so that with its framing an answer may well be larger.
        reply(&other.replies, large, response(vec![entry("data", vec![0; 50_000])]));
        other.reply(small, 2);
        assert_eq!(number_in(small_answer.await.unwrap()), 2);
        let answer = large_answer.await.unwrap();
        assert!(matches!(answer, Ok(_) | Err(CallError::TooLarge(_))), "{answer:?}");
    });
}

#[test]
fn a_request_above_the_limit_is_refused_and_the_others_go_on() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = limited_connection(&peer, 10_000);
        let (lane, _task) = open(&connection);
        let (_small, answer) = call(&lane, 1);
        let mut other = Other::accept(&mut peer).await;
        let (small, _) = other.frame().await;
        for large in [
            Request { args: vec![entry("data", vec![0; 100_000])], ..request("echo") },
            Request { metadata: vec![entry("note", vec![0; 100_000])], ..request("echo") },
            request(&"e".repeat(100_000)),
        ] {
            let refused = try_call(&lane, large).map(|_| ());
            assert!(matches!(refused, Err(CallError::TooLarge(_))), "{refused:?}");
        }
        other.reply(small, 1);
        assert_eq!(number_in(answer.await.unwrap()), 1);
    });
}

#[test]
fn a_request_is_carried_unless_it_would_hold_up_the_others() {
    let half = || Bytes::from(vec![0; LANE_MESSAGE_LIMIT / 2]);
    assert!(Lane::carries(&request("echo")));
    assert!(Lane::carries(&Request { args: vec![entry("a", half())], ..request("echo") }));
    let args = vec![entry("a", half()), entry("b", half())];
    assert!(!Lane::carries(&Request { args, ..request("echo") }));
    let metadata = vec![entry("a", half()), entry("b", half())];
    assert!(!Lane::carries(&Request { metadata, ..request("echo") }));
}

fn not_sent<T>(result: &Result<T, CallError>) -> bool {
    matches!(result, Err(CallError::Unavailable(_)))
}

/// Each way a lane can end ends all calls on it, and refuses later ones.
async fn ends_every_call(peer: &mut Peer, end: impl AsyncFnOnce(&mut Peer, &Connection, Other)) {
    let connection = peer.connection();
    let (lane, task) = open(&connection);
    let calls: Vec<_> = (0..10).map(|number| call(&lane, number)).collect();
    let mut other = Other::accept(peer).await;
    assert_eq!(other.frame().await.1, Some(0));
    end(peer, &connection, other).await;
    for (ticket, answer) in calls {
        assert_eq!(answer.await.unwrap(), Err(CallError::WorkerExited));
        ticket.cancel();
    }
    task.await.unwrap();
    assert!(connection.lane().is_none());
    assert!(not_sent(&try_call(&lane, request("echo"))));
    assert!(connection.open_lane().is_none());
}

#[test]
fn the_peer_ending_the_lane_ends_every_call_on_it() {
    frozen(async {
        ends_every_call(&mut Peer::start(), async |_, _, other| drop(other)).await;
    });
}

#[test]
fn the_peer_failing_the_lane_ends_every_call_on_it() {
    frozen(async {
        ends_every_call(&mut Peer::start(), async |_, _, other| {
            other.replies.fail(Status::internal("on purpose"));
        })
        .await;
    });
}

#[test]
fn the_death_of_the_peer_ends_every_call_on_its_lane() {
    frozen(async {
        ends_every_call(&mut Peer::start(), async |peer, _, _other| peer.die()).await;
    });
}

#[test]
fn closing_the_connection_ends_every_call_on_its_lane_and_the_lane_itself() {
    frozen(async {
        ends_every_call(&mut Peer::start(), async |_, connection, mut other| {
            // Until the sender of requests has nothing to do but to wait for the next.
            while other.frame().await.1 != Some(9) {}
            round_trip(connection).await;
            connection.close();
            other.replies.dropped().await;
            while let Ok(Some(_)) = other.requests.message().await {}
        })
        .await;
    });
}

#[test]
fn a_connection_finds_a_peer_that_has_come_in_the_place_of_a_dead_one() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (_lane, task) = open(&connection);
        let _other = Other::accept(&mut peer).await;
        peer.die();
        task.await.unwrap();
        let health = health(&connection, Duration::from_secs(3600)).await;
        assert!(health.is_err(), "{health:?}");
        let next = Peer::start();
        std::fs::rename(next.socket(), peer.socket()).unwrap();
        round_trip(&connection).await;
        round_trip(&connection).await;
    });
}

#[test]
fn a_lane_nobody_accepts_ends_when_the_peer_dies() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (_ticket, answer) = call(&lane, 1);
        let _unanswered = peer.lanes.next().await;
        peer.die();
        assert_eq!(answer.await.unwrap(), Err(CallError::WorkerExited));
    });
}

#[test]
fn a_call_that_still_waits_to_be_sent_has_not_run() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, task) = open(&connection);
        let calls: Vec<_> = (0..40)
            .map(|_| {
                let args = vec![entry("data", Bytes::from(vec![0; 200 * 1024]))];
                try_call(&lane, Request { args, ..request("echo") }).unwrap()
            })
            .collect();
        // The peer reads one of them, and has no room for all of the others.
        let mut other = Other::accept(&mut peer).await;
        other.id().await;
        round_trip(&connection).await;
        peer.die();
        let mut answers = Vec::new();
        for (_ticket, answer) in calls {
            answers.push(answer.await.unwrap());
        }
        task.await.unwrap();
        assert_eq!(answers.first(), Some(&Err(CallError::WorkerExited)));
        assert!(answers.last().is_some_and(not_sent));
    });
}

#[test]
fn a_peer_that_refuses_the_lane_ends_the_calls_on_it() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (_ticket, answer) = call(&lane, 1);
        peer.lanes.next().await.answer(Err(Status::unimplemented("no lanes here")));
        assert_eq!(answer.await.unwrap(), Err(CallError::WorkerExited));
    });
}

#[test]
fn a_lane_whose_runtime_ends_ends_the_calls_on_it() {
    watched(|| {
        let mut peer = Peer::start();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (connection, answer) = runtime.block_on(async {
            let connection = peer.connection();
            let (lane, _task) = open(&connection);
            let (_ticket, answer) = call(&lane, 1);
            assert_eq!(Other::accept(&mut peer).await.frame().await.1, Some(1));
            (connection, answer)
        });
        drop(runtime);
        assert_eq!(answer.blocking_recv().unwrap(), Err(CallError::WorkerExited));
        assert!(connection.lane().is_none());
    });
}

#[test]
fn the_lane_ends_with_the_last_handle_of_the_connection() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (_, task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        let clone = connection.clone();
        drop(connection);
        round_trip(&clone).await;
        assert!(!task.is_finished());
        drop(clone);
        task.await.unwrap();
        other.replies.dropped().await;
        while let Ok(Some(_)) = other.requests.message().await {}
    });
}

#[test]
fn a_call_that_waits_keeps_the_lane_of_a_forgotten_connection() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, task) = open(&connection);
        let (_ticket, answer) = call(&lane, 1);
        let (cancelled, _) = call(&lane, 2);
        drop((connection, lane));
        let mut other = Other::accept(&mut peer).await;
        let (id, _) = other.frame().await;
        other.reply(id, 1);
        assert_eq!(number_in(answer.await.unwrap()), 1);
        assert!(!task.is_finished());
        cancelled.cancel();
        task.await.unwrap();
    });
}

#[test]
fn a_panic_over_one_answer_does_not_hurt_the_others() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (_before, before) = call(&lane, 1);
        let fatal = |_| panic!("over an answer, on purpose");
        let _fatal =
            lane.call(Request { args: vec![numbered(2)], ..request("echo") }, fatal).unwrap();
        let (_after, after) = call(&lane, 3);
        let mut other = Other::accept(&mut peer).await;
        for _ in 0..3 {
            let (id, number) = other.frame().await;
            other.reply(id, number.unwrap());
        }
        assert_eq!(number_in(before.await.unwrap()), 1);
        assert_eq!(number_in(after.await.unwrap()), 3);
        // At the end of the lane too.
        let _fatal = lane.call(request("echo"), fatal).unwrap();
        let (_ticket, answer) = call(&lane, 4);
        drop(other);
        assert_eq!(answer.await.unwrap(), Err(CallError::WorkerExited));
    });
}

#[test]
fn an_answer_may_make_the_next_call() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let (sender, answer) = oneshot::channel();
        let again = Arc::clone(&lane);
        let chained = move |_| {
            let ticket = again.call(request("echo"), move |answer| {
                let _ = sender.send(answer);
            });
            assert!(ticket.is_ok());
        };
        let asked = Request { args: vec![numbered(1)], ..request("echo") };
        let _ticket = lane.call(asked, chained).unwrap();
        let mut other = Other::accept(&mut peer).await;
        for number in [1, 2] {
            let id = other.id().await;
            other.reply(id, number);
        }
        assert_eq!(number_in(answer.await.unwrap()), 2);
    });
}

#[test]
fn a_full_lane_says_that_it_is_busy() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let mut calls: Vec<_> = (0..MAX_CALLS).map(|number| call(&lane, number)).collect();
        let refused = || try_call(&lane, request("echo")).map(|_| ());
        assert_eq!(refused(), Err(CallError::Busy));
        // A cancelled call makes room, sent or not.
        let (ticket, _) = calls.pop().unwrap();
        ticket.cancel();
        let _in_its_place = call(&lane, 1);
        assert_eq!(refused(), Err(CallError::Busy));
        let mut other = Other::accept(&mut peer).await;
        let (id, _) = other.frame().await;
        other.reply(id, 0);
        assert_eq!(number_in(calls.remove(0).1.await.unwrap()), 0);
        let _in_its_place = call(&lane, 2);
        assert_eq!(refused(), Err(CallError::Busy));
    });
}

#[test]
fn a_lane_says_nothing_of_credit() {
    frozen(async {
        let connection = Peer::start().connection();
        let (_lane, _task) = open(&connection);
        assert!(!connection.peer_keeps_credit());
        connection.rely_on_credit();
        assert!(connection.peer_keeps_credit());
    });
}

#[test]
fn a_lane_is_opened_once() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (_lane, _task) = open(&connection);
        assert!(connection.open_lane().is_none());
        let _other = Other::accept(&mut peer).await;
        round_trip(&connection).await;
        assert!(peer.lanes.is_empty());
    });
}

/// Echoes what is called, the last first of those that came together, until the lane ends.
async fn echo(mut other: Other) {
    let mut held = Vec::new();
    loop {
        let next = match other.requests.message().now_or_never() {
            Some(ready) => ready,
            None => {
                held.drain(..).rev().for_each(|(id, number)| other.reply(id, number));
                other.requests.message().await
            }
        };
        let Ok(Some(request)) = next else {
            return;
        };
        match frame(request) {
            (id, Some(number)) => held.push((id, number)),
            (cancelled, None) => held.retain(|(id, _)| *id != cancelled),
        }
    }
}

#[test]
fn under_load_every_call_is_answered_with_its_own_answer_or_cancelled() {
    live(async {
        const THREADS: usize = 4;
        const CALLS: usize = 5_000;
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        tokio::spawn(echo(Other::accept(&mut peer).await));
        let threads = (0..THREADS).map(|thread| {
            let lane = Arc::clone(&lane);
            move || {
                let (sender, answers) = channel();
                let mut to_cancel = Vec::new();
                let mut waited_for = HashSet::new();
                for number in (0..CALLS).map(|index| thread * CALLS + index) {
                    let sender = sender.clone();
                    let asked = Request { args: vec![numbered(number)], ..request("echo") };
                    let on_reply = move |answer| sender.send((number, number_in(answer))).unwrap();
                    let ticket = lane.call(asked, on_reply).unwrap();
                    if number % 3 == 0 {
                        to_cancel.push(ticket);
                    } else {
                        waited_for.insert(number);
                    }
                    if to_cancel.len() == 7 {
                        to_cancel.drain(..).for_each(|id| lane.cancel(id));
                    }
                }
                to_cancel.drain(..).for_each(|id| lane.cancel(id));
                drop(sender);
                // Ends once every call has had its answer or is cancelled.
                for (number, answer) in answers {
                    assert_eq!(number, answer);
                    waited_for.remove(&number);
                }
                assert!(waited_for.is_empty(), "no answer to {waited_for:?}");
            }
        });
        join(threads.map(std::thread::spawn).collect()).await;
        assert!(connection.lane().is_some());
    });
}

async fn join(threads: Vec<std::thread::JoinHandle<()>>) {
    let join = || threads.into_iter().for_each(|thread| thread.join().unwrap());
    tokio::task::spawn_blocking(join).await.unwrap();
}

#[test]
fn no_wake_up_is_lost_between_single_calls() {
    live(async {
        const CALLS: usize = 5_000;
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        tokio::spawn(async move {
            while let Ok(Some(request)) = other.requests.message().await {
                let (id, number) = frame(request);
                other.reply(id, number.unwrap());
            }
        });
        let caller = std::thread::spawn(move || {
            let (sender, answers) = channel();
            for number in 0..CALLS {
                let sender = sender.clone();
                let asked = Request { args: vec![numbered(number)], ..request("echo") };
                let _ticket = lane
                    .call(asked, move |answer| sender.send(number_in(answer)).unwrap())
                    .unwrap();
                assert_eq!(answers.recv().unwrap(), number);
            }
        });
        join(vec![caller]).await;
    });
}

#[test]
fn a_lane_that_breaks_under_load_ends_every_call_once() {
    live(async {
        const THREADS: usize = 4;
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, task) = open(&connection);
        let mut other = Other::accept(&mut peer).await;
        let threads = (0..THREADS).map(|_| {
            let lane = Arc::clone(&lane);
            move || {
                let (sender, answers) = channel();
                let mut made = 0;
                loop {
                    let sender = sender.clone();
                    let asked = Request { args: vec![numbered(made)], ..request("echo") };
                    match lane.call(asked, move |answer| sender.send(answer).unwrap()) {
                        Ok(_ticket) => made += 1,
                        Err(CallError::Busy) => std::thread::yield_now(),
                        Err(CallError::Unavailable(_)) => break,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                drop(sender);
                assert_eq!(answers.iter().count(), made);
            }
        });
        let threads = threads.map(std::thread::spawn).collect();
        for _ in 0..10_000 {
            let (id, number) = other.frame().await;
            other.reply(id, number.unwrap());
        }
        drop(other);
        join(threads).await;
        task.await.unwrap();
    });
}

#[test]
fn entries_keep_their_bytes() {
    frozen(async {
        let mut peer = Peer::start();
        let connection = peer.connection();
        let (lane, _task) = open(&connection);
        let args = vec![Entry::new(b"\xff".as_slice(), Bytes::new())];
        let asked = Request { args: args.clone(), ..request("echo") };
        let (_ticket, answer) = try_call(&lane, asked).unwrap();
        let mut other = Other::accept(&mut peer).await;
        let first = other.requests.message().await.unwrap().unwrap();
        let Some(lane_request::Message::Execute(call)) = first.message else {
            panic!("{first:?}");
        };
        reply(&other.replies, first.id, response(call.args));
        assert_eq!(answer.await.unwrap().unwrap().result, args);
    });
}
