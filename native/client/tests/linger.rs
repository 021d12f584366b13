//! A caller that is alone looks for its answer itself, and of many who come again and again the last;
//! whoever comes meanwhile loses nothing, and afterwards the connection is watched as before.
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

/// Who comes again so long after the last has taken an answer comes late.
const LATE: Duration = Duration::from_micros(151);

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

/// As `looked_at`, beside two calls that wait. This gives the id of one.
async fn shared() -> (Peer, Connection, Arc<Lane>, Other, u64, Receiver<(Answer, Arrival)>) {
    let mut peer = Peer::start();
    let connection = peer.connection();
    let (lane, _task) = open(&connection);
    let mut other = Other::accept(&mut peer).await;
    let (_placed, waits) = place(&lane, 0);
    let (id, _) = other.frame().await;
    // That of another is never answered.
    place(&lane, 0);
    other.frame().await;
    let echoing = elsewhere(other, async |other| echo(other, ALONE).await);
    for number in 1..=ALONE {
        assert!(!take(&lane, place(&lane, number), number).await);
    }
    (peer, connection, lane, echoing.join().unwrap().0, id, waits)
}

#[test]
fn of_callers_who_come_again_and_again_the_last_looks() {
    frozen_alone(async {
        let (_peer, _connection, lane, other, _id, waits) = shared().await;
        let echoing = elsewhere(other, async |other| echo(other, 3).await);
        for number in 1..=3 {
            assert!(take(&lane, place(&lane, number), number).await);
        }
        assert_eq!(waits.try_recv(), Err(TryRecvError::Empty));
        echoing.join().unwrap();
    });
}

/// What is left when a caller that looked has found the answer of another, who has taken it.
struct Relieved {
    _peer: Peer,
    _connection: Connection,
    lane: Arc<Lane>,
    other: Other,
    /// The call of the one that looked.
    id: u64,
    placed: (Placed, Receiver<(Answer, Arrival)>),
}

async fn relieved() -> Relieved {
    let (_peer, _connection, lane, other, id, waits) = shared().await;
    let replying = elsewhere(other, async move |other| {
        let (looks, _) = other.frame().await;
        other.reply(id, 0);
        looks
    });
    let placed = place(&lane, 1);
    assert!(matches!(placed.0, Placed::Waits(_)));
    let (answer, arrival) =
        tokio::task::spawn_blocking(move || waits.recv().unwrap()).await.unwrap();
    assert_eq!((number_in(answer), arrival), (0, Arrival::Later));
    lane.taken();
    let (other, id) = replying.join().unwrap();
    Relieved { _peer, _connection, lane, other, id, placed }
}

#[test]
fn whoever_is_told_by_the_one_who_looks_goes_on_in_its_place() {
    frozen_alone(async {
        let Relieved { lane, other, id, placed: (_, answers), _peer, _connection } =
            relieved().await;
        let replying = elsewhere(other, async move |other| {
            let (second, _) = other.frame().await;
            other.reply(id, 1);
            second
        });
        let second = place(&lane, 2);
        // While the clock stands still nobody else would see it.
        let (answer, arrival) = answers.try_recv().unwrap();
        assert_eq!((number_in(answer), arrival), (1, Arrival::Later));
        let (other, id) = replying.join().unwrap();
        lane.taken();
        let replying = elsewhere(other, async move |other| {
            other.frame().await;
            other.reply(id, 2);
        });
        assert!(matches!(place(&lane, 3).0, Placed::Waits(_)));
        assert_eq!(number_in(second.1.try_recv().unwrap().0), 2);
        replying.join().unwrap();
    });
}

#[test]
fn an_answer_comes_also_when_nobody_comes_again() {
    frozen_alone(async {
        let Relieved { other, id, placed: (_, answers), .. } = &relieved().await;
        other.reply(*id, 1);
        let (answer, arrival) = loop {
            match answers.try_recv() {
                Ok(told) => break told,
                Err(_not_yet) => advance(REST).await,
            }
        };
        assert_eq!((number_in(answer), arrival), (1, Arrival::Later));
    });
}

#[test]
fn callers_do_not_rely_on_one_that_came_late() {
    frozen_alone(async {
        let Relieved { lane, mut other, id, placed, _peer, _connection } = relieved().await;
        advance(LATE).await;
        let second = place(&lane, 2);
        assert!(matches!(second.0, Placed::Waits(_)));
        let (next, _) = other.frame().await;
        other.reply(id, 1);
        other.reply(next, 2);
        assert!(!take(&lane, placed, 1).await);
        assert!(!take(&lane, second, 2).await);
    });
}

#[test]
fn callers_do_not_rely_on_each_other_after_an_answer_that_came_late() {
    frozen_alone(async {
        let Relieved { lane, mut other, id, placed, _peer, _connection } = relieved().await;
        other.reply(id, 1);
        advance(REST).await;
        assert!(!take(&lane, placed, 1).await);
        let next = place(&lane, 2);
        assert!(matches!(next.0, Placed::Waits(_)));
        let (id, _) = other.frame().await;
        other.reply(id, 2);
        assert!(!take(&lane, next, 2).await);
    });
}
