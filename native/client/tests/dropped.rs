//! A connection that is dropped leaves nothing behind. Alone in its process, as it counts what that has.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use snakepit_client::{Connection, Options};
use support::lane::{Other, ask, number_in, open};
use support::peer::Peer;
use support::{round_trip, watched};
use tokio::runtime::{Builder, Handle};

/// Of each kind.
const CONNECTIONS: usize = 100;

async fn never_used(peer: &mut Peer) {
    drop(peer.connection());
}

async fn used(peer: &mut Peer) {
    round_trip(&peer.connection()).await;
}

async fn used_while_dropped(peer: &mut Peer) {
    let connection = peer.connection();
    round_trip(&connection).await;
    let clone = connection.clone();
    let calling = tokio::spawn(async move { round_trip(&clone).await });
    drop(connection);
    calling.await.unwrap();
}

async fn with_a_lane(peer: &mut Peer) {
    let connection = peer.connection();
    let (lane, _task) = open(&connection);
    let mut other = Other::accept(peer).await;
    let (ticket, answer) = ask(&lane, 1);
    let id = other.id().await;
    other.reply(id, 1);
    assert_eq!(number_in(answer.await.unwrap()), 1);
    ticket.taken();
}

async fn closed(peer: &mut Peer) {
    let connection = peer.connection();
    let (_lane, _task) = open(&connection);
    let _other = Other::accept(peer).await;
    connection.close();
}

async fn to_nobody(peer: &mut Peer) {
    let target = format!("unix:{}", peer.directory().join("nobody.sock").display());
    let connection = Connection::new(&Options { target, ..peer.options() }).unwrap();
    let health = snakepit_client::health(&connection, Duration::from_secs(60)).await;
    assert!(health.is_err());
}

#[test]
fn dropped_connections_leave_no_task_and_no_descriptor() {
    watched(|| {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut peer = Peer::start();
            round_trip(&peer.connection()).await;
            settles(0, usize::MAX).await;
            let before = descriptors();
            for _ in 0..CONNECTIONS {
                never_used(&mut peer).await;
                used(&mut peer).await;
                used_while_dropped(&mut peer).await;
                with_a_lane(&mut peer).await;
                closed(&mut peer).await;
                to_nobody(&mut peer).await;
            }
            settles(0, before).await;
        });
    });
}

/// Waits until there are no more than so many tasks and descriptors; those of the peer go last.
async fn settles(tasks: usize, open: usize) {
    while Handle::current().metrics().num_alive_tasks() > tasks || descriptors() > open {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
