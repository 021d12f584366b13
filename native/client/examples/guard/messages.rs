//! The messages around the values, and the account of a stream.

use std::hint::black_box;

use bytes::BytesMut;
use prost::Message;
use snakepit_protocol::Credit;
use snakepit_protocol::pb::{
    Codec, ExecuteRequest, ExecuteResponse, LaneReply, LaneRequest, StreamResponse, lane_reply,
    lane_request,
};

use crate::entries::{KIB, data};
use crate::measure::{Failure, Paths};

pub(crate) fn run(paths: &Paths) -> Result<(), Failure> {
    let request = ExecuteRequest {
        command: "bench_echo".to_owned(),
        args: data(100),
        request_id: "5f1a".to_owned(),
        codec: Codec::Msgpack.into(),
        ..ExecuteRequest::default()
    };
    let response = ExecuteResponse {
        success: true,
        result: data(100),
        codec: Codec::Msgpack.into(),
        ..ExecuteResponse::default()
    };
    let request = lane_request::Message::Execute(request);
    message(paths, "lane request", &LaneRequest { id: 70_000, message: Some(request) })?;
    let reply = lane_reply::Message::Response(response);
    message(paths, "lane reply", &LaneReply { id: 70_000, message: Some(reply) })?;
    message(paths, "chunk of 1 KiB", &chunk(KIB))?;

    let mut credit = Credit::new(256, 4 * KIB * KIB);
    paths.measure("credit for 64 chunks", 1_000, || {
        (0..64).for_each(|size| credit.spend(size));
        black_box(credit.available());
        credit.acknowledge(64);
    });
    Ok(())
}

/// A chunk as our worker sends it.
pub(crate) fn chunk(size: usize) -> StreamResponse {
    StreamResponse { chunk: data(size), codec: Codec::Msgpack.into(), ..StreamResponse::default() }
}

fn message<M: Message + Default>(paths: &Paths, name: &str, message: &M) -> Result<(), Failure> {
    let mut buffer = BytesMut::with_capacity(64 * KIB);
    message.encode(&mut buffer)?;
    let encoded = buffer.split().freeze();
    paths.measure(&format!("message/encode/{name}"), 1_000, || {
        buffer.clear();
        let _ = black_box(black_box(message).encode(&mut buffer));
    });
    M::decode(encoded.clone())?;
    paths.measure(&format!("message/decode/{name}"), 1_000, || {
        let _ = black_box(M::decode(encoded.clone()));
    });
    Ok(())
}
