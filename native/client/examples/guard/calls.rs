//! Calls: a request is put on the lane, or sent as an RPC of its own, and its reply delivered.

use std::sync::Arc;

use prost::Message;
use snakepit_client::{Connection, Lane, Request, unary};
use snakepit_protocol::pb::{Codec, ExecuteResponse, LanePart, LaneReply, lane_reply};
use tokio::sync::Semaphore;

use crate::entries::{KIB, MIB, data};
use crate::measure::{Counting, Failure, Paths};
use crate::peer::{Script, connect, framed};

/// As large as our worker makes the parts of a reply.
const PART: usize = 64 * KIB;

pub(crate) async fn run(paths: &Paths) -> Result<(), Failure> {
    echo(paths, "lane/call of 10 B", 500, 1, 10).await?;
    echo(paths, "lane/call of 1 KiB", 500, 1, KIB).await?;
    echo(paths, "lane/16 calls of 100 B at once, each", 1_600, 16, 100).await?;
    echo(paths, "lane/call of 10 B, reply of 1 MiB in parts", 20, 1, MIB).await?;
    alone(paths, "rpc/call of 1 MiB, reply of 10 B", 20, MIB, 10).await?;
    alone(paths, "rpc/call of 10 B, reply of 1 MiB", 20, 10, MIB).await
}

async fn echo(
    paths: &Paths,
    name: &str,
    calls: usize,
    at_once: usize,
    size: usize,
) -> Result<(), Failure> {
    if !paths.wants(name) {
        return Ok(());
    }
    let connection = connect(Script::Lane(replies(size)))?;
    let lane = open(&connection)?;
    let request = request(if size == MIB { 10 } else { size });
    in_bursts(lane, &request, calls, at_once).await?;
    let counting = Counting::start();
    in_bursts(lane, &request, calls, at_once).await?;
    counting.stop(name, calls as u64);
    Ok(())
}

async fn alone(
    paths: &Paths,
    name: &str,
    calls: u64,
    size: usize,
    reply: usize,
) -> Result<(), Failure> {
    if !paths.wants(name) {
        return Ok(());
    }
    let connection = connect(Script::Call(framed(&response(reply))))?;
    let request = request(size);
    one_by_one(&connection, &request, calls).await?;
    let counting = Counting::start();
    one_by_one(&connection, &request, calls).await?;
    counting.stop(name, calls);
    Ok(())
}

pub(crate) async fn one_by_one(
    connection: &Connection,
    request: &Request,
    calls: u64,
) -> Result<(), Failure> {
    for _ in 0..calls {
        unary(connection, request.clone()).await?;
    }
    Ok(())
}

pub(crate) fn open(connection: &Connection) -> Result<&Arc<Lane>, Failure> {
    let _end = connection.open_lane().ok_or("the lane is open already")?;
    Ok(connection.lane().ok_or("the lane is closed")?)
}

pub(crate) fn request(size: usize) -> Request {
    Request {
        command: "bench_echo".to_owned(),
        args: data(size),
        codec: Codec::Msgpack,
        timeout_ms: 30_000,
        ..Request::default()
    }
}

/// So many calls, `at_once` of them under way together.
pub(crate) async fn in_bursts(
    lane: &Arc<Lane>,
    request: &Request,
    calls: usize,
    at_once: usize,
) -> Result<(), Failure> {
    let answered = Arc::new(Semaphore::new(0));
    for _ in 0..calls / at_once {
        for _ in 0..at_once {
            let answered = Arc::clone(&answered);
            lane.call(request.clone(), move |answer| match answer {
                Ok(_) => answered.add_permits(1),
                Err(_) => answered.close(),
            })?;
        }
        answered.acquire_many(at_once as u32).await?.forget();
    }
    Ok(())
}

fn response(size: usize) -> ExecuteResponse {
    ExecuteResponse {
        success: true,
        result: data(size),
        codec: Codec::Msgpack.into(),
        ..ExecuteResponse::default()
    }
}

/// The replies to a call, as a lane carries them, but for the id.
fn replies(size: usize) -> Vec<Vec<u8>> {
    let response = response(size);
    let reply = |message| LaneReply { id: 0, message: Some(message) }.encode_to_vec();
    if size < MIB {
        return vec![reply(lane_reply::Message::Response(response))];
    }
    let whole = response.encode_to_vec();
    let last = whole.len().div_ceil(PART) - 1;
    let part = |(index, data): (usize, &[u8])| {
        let size = if index == 0 { whole.len() as u64 } else { 0 };
        let part = LanePart { data: data.to_vec().into(), last: index == last, size };
        reply(lane_reply::Message::Part(part))
    };
    whole.chunks(PART).enumerate().map(part).collect()
}
