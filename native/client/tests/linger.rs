//! A caller that is alone looks for its answer itself; whoever comes meanwhile loses nothing, and
//! afterwards the connection is watched as before.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, available_parallelism};
use std::time::Duration;

use prost::Message as _;
use snakepit_client::{Arrival, CallError, Connection, Lane, Placed};
use support::lane::{Answer, Other, number_in, numbered_request, open};
use support::peer::Peer;
use support::{frozen, live, numbered, response};
use tokio::runtime::Builder;
use tokio::time::advance;

/// So many calls, one after the other, before callers look for their answers.
const ALONE: usize = 16;

/// The runtime watches a connection again after less than that.
const REST: Duration = Duration::from_millis(20);

/// Callers do not look while many lanes of their process have calls.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn frozen_alone(test: impl Future<Output = ()>) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    frozen(test);
}

fn live_alone(test: impl Future<Output = ()>) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    live(test);
}

/// Makes a call. What comes, and how, comes through the channel.
fn place(lane: &Arc<Lane>, number: usize) -> (Placed, Receiver<(Answer, Arrival)>) {
    let (sender, answers) = channel();
    let told = move |answer, arrival| sender.send((answer, arrival)).unwrap();
    (lane.call_and_take(numbered_request(number), told).unwrap(), answers)
}

/// Waits for the answer, and takes it. Says whether it came at once.
async fn take(
    lane: &Lane,
    (placed, answers): (Placed, Receiver<(Answer, Arrival)>),
    number: usize,
) -> bool {
    let receive = move || answers.recv().unwrap();
    let (answer, arrival) = tokio::task::spawn_blocking(receive).await.unwrap();
    assert_eq!(number_in(answer), number);
    let at_once = matches!(placed, Placed::Answered);
    assert_eq!(arrival == Arrival::AtOnce, at_once);
    if !at_once {
        lane.taken();
    }
    at_once
}

/// The peer's end, on a thread of its own: a caller that looks keeps its thread.
fn elsewhere<T: Send + 'static>(
    mut other: Other,
    act: impl AsyncFnOnce(&mut Other) -> T + Send + 'static,
) -> JoinHandle<(Other, T)> {
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(act(&mut other));
        (other, result)
    })
}

async fn echo(other: &mut Other, calls: usize) {
    for _ in 0..calls {
        let (id, number) = other.frame().await;
        other.reply(id, number.unwrap());
    }
}

/// A peer, the connection to it, and both ends of a lane whose next caller looks for its answer.
async fn looked_at() -> (Peer, Connection, Arc<Lane>, Other) {
    let mut peer = Peer::start();
    let connection = peer.connection();
    let (lane, _task) = open(&connection);
    let other = Other::accept(&mut peer).await;
    let echoing = elsewhere(other, async |other| echo(other, ALONE).await);
    for number in 0..ALONE {
        assert!(!take(&lane, place(&lane, number), number).await);
    }
    (peer, connection, lane, echoing.join().unwrap().0)
}

#[test]
fn a_caller_that_is_alone_has_its_answer_when_the_call_returns() {
    frozen_alone(async {
        let (_peer, _connection, lane, other) = looked_at().await;
        let echoing = elsewhere(other, async |other| echo(other, 3).await);
        for number in 0..3 {
            assert!(take(&lane, place(&lane, number), number).await);
        }
        echoing.join().unwrap();
    });
}

#[test]
fn a_caller_that_looks_in_vain_is_told_of_its_answer() {
    live_alone(async {
        let (_peer, _connection, lane, mut other) = looked_at().await;
        let placed = place(&lane, 7);
        assert!(matches!(placed.0, Placed::Waits(_)));
        let (id, _) = other.frame().await;
        other.reply(id, 7);
        assert!(!take(&lane, placed, 7).await);
    });
}

#[test]
fn a_call_made_while_another_caller_looks_is_sent_and_answered() {
    frozen_alone(async {
        let (_peer, _connection, lane, other) = looked_at().await;
        let second = Arc::clone(&lane);
        let meanwhile = elsewhere(other, async move |other| {
            let (first, _) = other.frame().await;
            let (_placed, answers) = place(&second, 2);
            let (id, _) = other.frame().await;
            other.reply(id, 2);
            let (answer, arrival) = answers.recv().unwrap();
            assert_eq!((number_in(answer), arrival), (2, Arrival::Later));
            other.reply(first, 1);
        });
        assert!(take(&lane, place(&lane, 1), 1).await);
        meanwhile.join().unwrap();
    });
}

#[test]
fn a_call_made_while_another_caller_looks_is_answered_after_that_too() {
    frozen_alone(async {
        let (_peer, _connection, lane, other) = looked_at().await;
        let second = Arc::clone(&lane);
        let (go, gone) = channel();
        let afterwards = elsewhere(other, async move |other| {
            let (first, _) = other.frame().await;
            let (_placed, answers) = place(&second, 2);
            let (id, _) = other.frame().await;
            other.reply(first, 1);
            gone.recv().unwrap();
            other.reply(id, 2);
            answers
        });
        assert!(take(&lane, place(&lane, 1), 1).await);
        // The clock stands still: nobody comes to look some time later.
        go.send(()).unwrap();
        let answered = tokio::task::spawn_blocking(move || {
            let (_other, answers) = afterwards.join().unwrap();
            answers.recv().unwrap()
        });
        let (answer, arrival) = answered.await.unwrap();
        assert_eq!((number_in(answer), arrival), (2, Arrival::Later));
    });
}

#[test]
fn a_caller_that_looks_does_not_put_large_answers_of_others_together() {
    frozen_alone(async {
        let (_peer, _connection, lane, other) = looked_at().await;
        let second = Arc::clone(&lane);
        let (hand, handed) = channel();
        let meanwhile = elsewhere(other, async move |other| {
            let (first, _) = other.frame().await;
            hand.send(place(&second, 2).1).unwrap();
            let (id, _) = other.frame().await;
            other.part(id, response(vec![numbered(2)]).encode_to_vec().into(), true);
            other.reply(first, 1);
        });
        let (first, _) = place(&lane, 1);
        assert!(matches!(first, Placed::Answered));
        let answers = handed.recv().unwrap();
        assert_eq!(answers.try_recv(), Err(TryRecvError::Empty));
        let answered = tokio::task::spawn_blocking(move || answers.recv().unwrap());
        assert_eq!(number_in(answered.await.unwrap().0), 2);
        meanwhile.join().unwrap();
    });
}

#[test]
fn the_end_of_the_connection_ends_a_call_that_is_looked_for() {
    frozen_alone(async {
        let (mut peer, connection, lane, other) = looked_at().await;
        let ending = elsewhere(other, async move |other| {
            other.frame().await;
            peer.die();
        });
        let (placed, answers) = place(&lane, 1);
        assert!(matches!(placed, Placed::Answered));
        assert_eq!(answers.recv().unwrap(), (Err(CallError::WorkerExited), Arrival::AtOnce));
        ending.join().unwrap();
        assert!(connection.lane().is_none());
    });
}

#[test]
fn a_connection_that_callers_leave_is_watched_again() {
    frozen_alone(async {
        let (_peer, connection, lane, other) = looked_at().await;
        // Nothing else is left to be done, now or later.
        advance(REST).await;
        for _ in 0..ALONE {
            tokio::task::yield_now().await;
        }
        let echoing = elsewhere(other, async |other| echo(other, 1).await);
        assert!(take(&lane, place(&lane, 0), 0).await);
        let (other, ()) = echoing.join().unwrap();
        drop(other.replies);
        while connection.lane().is_some() {
            advance(REST).await;
        }
    });
}

#[test]
fn callers_do_not_look_while_more_lanes_have_calls_than_half_of_the_processors() {
    // The clock stands still: who looks does so until there is an answer, and there is none.
    frozen_alone(async {
        let (_peer, _connection, lane, _other) = looked_at().await;
        let mut others = Vec::new();
        for _ in 0..available_parallelism().unwrap().get().div_ceil(2) {
            let peer = Peer::start();
            let connection = peer.connection();
            let (lane, _task) = open(&connection);
            others.push((place(&lane, 2), connection, peer));
        }
        assert!(matches!(place(&lane, 1).0, Placed::Waits(_)));
    });
}
