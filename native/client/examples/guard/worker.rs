//! Drives a worker that runs under callgrind itself: its handler `guard_mark` is where its counts
//! are noted.

use std::path::Path;
use std::sync::Arc;

use snakepit_client::{Connection, Lane, Request};
use snakepit_protocol::pb::Entry;
use snakepit_protocol::value::Writer;

use crate::calls::{in_bursts, one_by_one, open, request};
use crate::entries::{KIB, MIB};
use crate::measure::Failure;
use crate::streams::{self, consume};

/// How often each path is counted.
const ROUNDS: usize = 5;

pub(crate) async fn drive(socket: &str) -> Result<(), Failure> {
    let connection = crate::peer::to(Path::new(socket))?;
    let lane = open(&connection)?;
    calls(lane, "call of 10 B", 500, 1, 10).await?;
    calls(lane, "16 calls of 100 B at once, each", 1_600, 16, 100).await?;
    large_calls(&connection, lane, "call of 1 MiB", 20).await?;
    chunks(&connection, lane, "chunk of 1 KiB", 2_000, KIB).await?;
    chunks(&connection, lane, "chunk of 1 MiB", 200, MIB).await
}

async fn calls(
    lane: &Arc<Lane>,
    name: &str,
    calls: usize,
    at_once: usize,
    size: usize,
) -> Result<(), Failure> {
    let request = request(size);
    in_bursts(lane, &request, calls, at_once).await?;
    for _ in 0..ROUNDS {
        mark(lane).await?;
        in_bursts(lane, &request, calls, at_once).await?;
        mark(lane).await?;
        println!("{name}\t{calls}");
    }
    Ok(())
}

async fn large_calls(
    connection: &Connection,
    lane: &Arc<Lane>,
    name: &str,
    calls: u64,
) -> Result<(), Failure> {
    let request = request(MIB);
    one_by_one(connection, &request, calls).await?;
    for _ in 0..ROUNDS {
        mark(lane).await?;
        one_by_one(connection, &request, calls).await?;
        mark(lane).await?;
        println!("{name}\t{calls}");
    }
    Ok(())
}

async fn chunks(
    connection: &Connection,
    lane: &Arc<Lane>,
    name: &str,
    chunks: usize,
    size: usize,
) -> Result<(), Failure> {
    let number = |name: &'static str, number: usize| {
        let mut writer = Writer::new();
        writer.unsigned(number as u64);
        Entry::new(name, writer.take())
    };
    let args = vec![number("count", chunks), number("size", size)];
    let request = Request { args, ..streams::request("bench_stream") };
    consume(connection, request.clone(), chunks).await?;
    for _ in 0..ROUNDS {
        mark(lane).await?;
        consume(connection, request.clone(), chunks).await?;
        mark(lane).await?;
        println!("{name}\t{chunks}");
    }
    Ok(())
}

async fn mark(lane: &Arc<Lane>) -> Result<(), Failure> {
    in_bursts(lane, &streams::request("guard_mark"), 1, 1).await
}
