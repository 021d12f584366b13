//! One test: a process has one subscriber.

use snakepit_log::{LevelFilter, install, set_level};
use tracing::{debug, error, info, warn};

#[test]
fn events_wait_in_a_bounded_queue_that_nobody_waits_for() {
    let events = install(&["log"]).expect("no other subscriber");
    assert!(install(&["log"]).is_none());

    // Warnings and worse until somebody says otherwise, and nobody else's.
    info!("too much detail");
    warn!(target: "h2::codec", "none of ours");
    warn!(target: "logger", "none of ours either");
    warn!(worker_id = "w-1", request_id = %"r-1", command = "train", bytes = 3, "it {} so", "is");
    error!(request_id = "", "without a call");
    let seen = events.next(10);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].message, "it is so, bytes: 3");
    assert_eq!(seen[0].target, "log");
    assert_eq!(seen[0].worker_id.as_deref(), Some("w-1"));
    assert_eq!(seen[0].request_id.as_deref(), Some("r-1"));
    assert_eq!(seen[0].command.as_deref(), Some("train"));
    assert_eq!(seen[1].request_id, None);

    // The level can be changed at any time.
    set_level(LevelFilter::DEBUG);
    debug!("in detail");
    assert_eq!(events.next(10)[0].message, "in detail");
    set_level(LevelFilter::OFF);
    error!("unheard");
    set_level(LevelFilter::INFO);
    info!("again");
    assert_eq!(events.next(10)[0].message, "again");

    // A long one is cut between two characters.
    info!("{}", "é".repeat(10_000));
    let cut = &events.next(1)[0].message;
    assert!(cut.len() < 2_100 && cut.ends_with("é…"), "{}", cut.len());

    // When nobody reads, the rest is counted.
    for n in 0..5_000 {
        info!("event {n}");
    }
    assert_eq!(events.dropped(), 5_000 - 1_024);
    assert_eq!(events.dropped(), 0);
    let kept: usize = (0..16).map(|_| events.next(64).len()).sum();
    assert_eq!(kept, 1_024);
}
