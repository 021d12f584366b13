//! A bare tonic client of one worker, for `make bench`: what the transport allows when nobody
//! decodes a value.
//!
//! `bare TARGET MODE COUNT [SIZE] [CALLERS]`, with MODE one of `unary`, `lane`, `stream`, `first`;
//! prints one JSON object of figures.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use snakepit_client::{Connection, Lane, Options, Request as Call};
use snakepit_protocol::pb::snakepit_bridge_client::SnakepitBridgeClient;
use snakepit_protocol::pb::{Codec, Entry, ExecuteRequest};
use snakepit_protocol::value::Writer;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

const LIMIT: usize = 256 * 1024 * 1024;
const WARM_UP: usize = 100;

type Failure = Box<dyn Error + Send + Sync>;

// One thread: measured, more of them only hand the work to each other.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| -> Result<usize, Failure> {
        args.get(index).map_or(Ok(default), |text| text.parse().map_err(Failure::from))
    };
    let target = args.first().ok_or("a target is needed: unix:/path")?;
    let (count, size, callers) = (number(2, 1000)?, number(3, 100)?, number(4, 1)?);
    let channel = Endpoint::from_shared(target.clone())?.connect().await?;
    let client = SnakepitBridgeClient::new(channel).max_decoding_message_size(LIMIT);
    match args.get(1).map(String::as_str) {
        Some("unary") => {
            unary(client.clone(), WARM_UP, size, 1).await?;
            report_calls(&unary(client, count, size, callers).await?);
        }
        Some("lane") => {
            // The lane ends with its connection.
            let connection = connect(target)?;
            let lane = connection.lane().ok_or("the lane is closed")?;
            on_lane(lane, WARM_UP, size, 1).await?;
            report_calls(&on_lane(lane, count, size, callers).await?);
        }
        Some("stream") => {
            stream(client.clone(), WARM_UP, 10).await?;
            report_stream(&stream(client, count, size).await?);
        }
        Some("first") => {
            first(client.clone(), WARM_UP).await?;
            report_calls(&first(client, count).await?);
        }
        _ => return Err("the mode is one of unary, lane, stream, first".into()),
    }
    Ok(())
}

struct Calls {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

fn report_calls(calls: &Calls) {
    let mut sorted = calls.latencies.clone();
    sorted.sort();
    let at = |share: usize| sorted.get(sorted.len() * share / 100).map_or(0.0, micros);
    println!(
        "{{\"p50_us\":{:.1},\"p99_us\":{:.1},\"per_s\":{:.0}}}",
        at(50),
        at(99),
        sorted.len() as f64 / calls.elapsed.as_secs_f64()
    );
}

struct Chunks {
    received: usize,
    bytes: usize,
    elapsed: Duration,
}

fn report_stream(chunks: &Chunks) {
    let seconds = chunks.elapsed.as_secs_f64();
    println!(
        "{{\"chunks\":{},\"per_s\":{:.0},\"mb_per_s\":{:.1}}}",
        chunks.received,
        chunks.received as f64 / seconds,
        chunks.bytes as f64 / seconds / 1e6
    );
}

fn micros(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn request(command: &str, values: &[(&'static str, Value)]) -> ExecuteRequest {
    ExecuteRequest {
        command: command.to_owned(),
        args: entries(values),
        codec: Codec::Msgpack.into(),
        ..ExecuteRequest::default()
    }
}

enum Value {
    Integer(usize),
    Binary(usize),
}

fn entries(values: &[(&'static str, Value)]) -> Vec<Entry> {
    let mut writer = Writer::new();
    let encode = |(name, value): &(&'static str, Value)| {
        match value {
            Value::Integer(value) => writer.unsigned(*value as u64),
            Value::Binary(size) => writer.binary(&vec![0xff; *size]),
        }
        Entry::new(*name, writer.take())
    };
    values.iter().map(encode).collect()
}

async fn unary(
    client: SnakepitBridgeClient<Channel>,
    count: usize,
    size: usize,
    callers: usize,
) -> Result<Calls, Failure> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let message = request("bench_echo", &[("data", Value::Binary(size))]);
                let mut latencies = Vec::with_capacity(count / callers);
                for _ in 0..count / callers {
                    let start = Instant::now();
                    let response = client.execute(message.clone()).await?.into_inner();
                    if !response.success {
                        return Err(response.error.into());
                    }
                    latencies.push(start.elapsed());
                }
                Ok::<_, Failure>(latencies)
            })
        })
        .collect();
    gather(tasks, start).await
}

fn connect(target: &str) -> Result<Connection, Failure> {
    let connection = Connection::new(&Options {
        target: target.to_owned(),
        token: None,
        max_message_size: LIMIT,
        connect_timeout: Duration::from_secs(5),
        worker_id: target.to_owned(),
    })?;
    let _end = connection.open_lane().ok_or("the lane is open already")?;
    Ok(connection)
}

async fn on_lane(
    lane: &Arc<Lane>,
    count: usize,
    size: usize,
    callers: usize,
) -> Result<Calls, Failure> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let lane = Arc::clone(lane);
            tokio::spawn(async move {
                let call = Call {
                    command: "bench_echo".to_owned(),
                    args: entries(&[("data", Value::Binary(size))]),
                    codec: Codec::Msgpack,
                    ..Call::default()
                };
                let mut latencies = Vec::with_capacity(count / callers);
                for _ in 0..count / callers {
                    let start = Instant::now();
                    let (reply, replied) = oneshot::channel();
                    let _id = lane.call(call.clone(), move |answer| {
                        let _ = reply.send(answer);
                    })?;
                    replied.await??;
                    latencies.push(start.elapsed());
                }
                Ok::<_, Failure>(latencies)
            })
        })
        .collect();
    gather(tasks, start).await
}

async fn gather(
    tasks: Vec<tokio::task::JoinHandle<Result<Vec<Duration>, Failure>>>,
    start: Instant,
) -> Result<Calls, Failure> {
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(Calls { latencies, elapsed: start.elapsed() })
}

async fn stream(
    mut client: SnakepitBridgeClient<Channel>,
    count: usize,
    size: usize,
) -> Result<Chunks, Failure> {
    let values = [("count", Value::Integer(count)), ("size", Value::Integer(size))];
    let start = Instant::now();
    let mut chunks = client.execute_stream(request("bench_stream", &values)).await?.into_inner();
    let (mut received, mut bytes) = (0, 0);
    while let Some(chunk) = chunks.message().await? {
        if !chunk.error.is_empty() {
            return Err(chunk.error.into());
        }
        received += usize::from(!chunk.is_final);
        bytes += chunk.chunk.iter().map(|entry| entry.value.len()).sum::<usize>();
    }
    Ok(Chunks { received, bytes, elapsed: start.elapsed() })
}

async fn first(mut client: SnakepitBridgeClient<Channel>, count: usize) -> Result<Calls, Failure> {
    let values = [("count", Value::Integer(1)), ("size", Value::Integer(10))];
    let message = request("bench_stream", &values);
    let start = Instant::now();
    let mut latencies = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let mut chunks = client.execute_stream(message.clone()).await?.into_inner();
        chunks.message().await?.ok_or("a stream without a chunk")?;
        latencies.push(start.elapsed());
        while chunks.message().await?.is_some() {}
    }
    Ok(Calls { latencies, elapsed: start.elapsed() })
}
