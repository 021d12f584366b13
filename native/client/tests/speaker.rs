//! The right to speak, under races: whoever takes it speaks last, and after silence nothing comes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use snakepit_client::Speaker;

const ROUNDS: usize = 100_000;

/// Threads meet after so many rounds, so that none runs far ahead of the others.
const BLOCK: usize = 500;

/// What a call's messages leave behind.
#[derive(Default)]
struct Log {
    said: AtomicUsize,
    last: AtomicUsize,
    silenced: AtomicBool,
    /// Messages after silence, or after the last.
    late: AtomicUsize,
    outlets_dropped: AtomicUsize,
}

/// Speaks into the log, and notices what must not be.
struct Outlet(Arc<Log>);

impl Outlet {
    fn send(&self) {
        if self.0.silenced.load(Ordering::SeqCst) || self.0.last.load(Ordering::SeqCst) > 0 {
            self.0.late.fetch_add(1, Ordering::SeqCst);
        }
        self.0.said.fetch_add(1, Ordering::SeqCst);
    }

    fn send_last(&self) {
        self.send();
        self.0.last.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.outlets_dropped.fetch_add(1, Ordering::SeqCst);
    }
}

struct Round {
    speaker: Speaker<Outlet>,
    log: Arc<Log>,
    heard: AtomicUsize,
    spoke_last: AtomicUsize,
    ended: AtomicUsize,
}

fn round() -> Round {
    let log = Arc::new(Log::default());
    Round {
        speaker: Speaker::new(Outlet(Arc::clone(&log))),
        log,
        heard: AtomicUsize::new(0),
        spoke_last: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
    }
}

fn say(round: &Round) {
    for _ in 0..3 {
        if round.speaker.say(|outlet| outlet.send()) {
            round.heard.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn say_last(round: &Round) {
    if round.speaker.say_last(|outlet| outlet.send_last()) {
        round.spoke_last.fetch_add(1, Ordering::SeqCst);
    }
}

fn silence(round: &Round) {
    let ended = round.speaker.silence();
    round.log.silenced.store(true, Ordering::SeqCst);
    if ended {
        round.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs every actor over all rounds, each in a thread of its own.
fn race(actors: &[fn(&Round)]) -> Vec<Round> {
    let rounds: Arc<Vec<Round>> = Arc::new((0..ROUNDS).map(|_| round()).collect());
    let barrier = Arc::new(Barrier::new(actors.len()));
    let threads: Vec<_> = actors
        .iter()
        .map(|&actor| {
            let (rounds, barrier) = (Arc::clone(&rounds), Arc::clone(&barrier));
            thread::spawn(move || {
                for block in rounds.chunks(BLOCK) {
                    barrier.wait();
                    block.iter().for_each(actor);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let rounds = Arc::into_inner(rounds).unwrap();
    for round in &rounds {
        assert_eq!(round.log.late.load(Ordering::SeqCst), 0);
        assert_eq!(round.log.outlets_dropped.load(Ordering::SeqCst), 1);
        assert!(round.speaker.is_silent());
    }
    rounds
}

#[test]
fn a_call_ends_once_by_a_last_message_or_by_silence() {
    for round in race(&[say, say_last, silence]) {
        let load = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        assert_eq!(load(&round.spoke_last) + load(&round.ended), 1);
        assert_eq!(load(&round.log.last), load(&round.spoke_last));
        assert_eq!(load(&round.log.said), load(&round.heard) + load(&round.log.last));
    }
}

#[test]
fn of_several_last_words_only_one_is_spoken() {
    for round in race(&[say_last, say, say_last]) {
        assert_eq!(round.spoke_last.load(Ordering::SeqCst), 1);
        assert_eq!(round.log.last.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn of_several_that_silence_only_one_ends_the_call() {
    for round in race(&[silence, say, silence]) {
        assert_eq!(round.ended.load(Ordering::SeqCst), 1);
        assert_eq!(round.log.last.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn after_silence_nobody_can_speak() {
    let Round { speaker, log, .. } = round();
    assert!(speaker.say(|outlet| outlet.send()));
    assert!(speaker.silence());
    assert!(!speaker.say(|outlet| outlet.send()));
    assert!(!speaker.say_last(|outlet| outlet.send_last()));
    assert!(!speaker.silence());
    assert_eq!(log.said.load(Ordering::SeqCst), 1);
}

#[test]
fn the_outlet_goes_with_the_right_to_speak_not_with_the_last_clone() {
    for end in [
        |speaker: &Speaker<Outlet>| speaker.silence(),
        |speaker: &Speaker<Outlet>| speaker.say_last(|outlet| outlet.send_last()),
    ] {
        let Round { speaker, log, .. } = round();
        let clone = speaker.clone();
        assert!(end(&speaker));
        assert_eq!(log.outlets_dropped.load(Ordering::SeqCst), 1);
        assert!(clone.is_silent());
        drop((speaker, clone));
        assert_eq!(log.outlets_dropped.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn without_an_end_the_outlet_goes_with_the_last_clone() {
    let Round { speaker, log, .. } = round();
    let clone = speaker.clone();
    drop(speaker);
    assert_eq!(log.outlets_dropped.load(Ordering::SeqCst), 0);
    drop(clone);
    assert_eq!(log.outlets_dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn what_an_outlet_owns_may_use_the_speaker_while_it_is_silenced() {
    struct Asks(Arc<std::sync::OnceLock<Speaker<Asks>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(self.0.get().unwrap().is_silent());
        }
    }
    let known = Arc::new(std::sync::OnceLock::new());
    let speaker = Speaker::new(Asks(Arc::clone(&known)));
    assert!(known.set(speaker.clone()).is_ok());
    assert!(speaker.silence());
}

#[test]
fn a_panic_while_speaking_leaves_the_right_to_speak() {
    let Round { speaker, log, .. } = round();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        speaker.say(|_| panic!("while speaking, on purpose"));
    }));
    assert!(panicked.is_err());
    assert!(speaker.say_last(|outlet| outlet.send_last()));
    assert_eq!(log.last.load(Ordering::SeqCst), 1);
}
