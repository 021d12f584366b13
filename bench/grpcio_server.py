"""A grpcio server of the two commands ``make bench`` measures, as threads or as asyncio.

``grpcio_server.py TARGET threads|asyncio`` prints ``ready`` and serves until its stdin closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from snakepit_bridge.grpc import snakepit_pb2 as pb
from snakepit_bridge.grpc.snakepit_pb2_grpc import (
    SnakepitBridgeServicer,
    add_SnakepitBridgeServicer_to_server,
)

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]
MAX_CALLS = 16


def echo(request: pb.ExecuteRequest) -> pb.ExecuteResponse:
    """The answer to ``bench_echo``: the value goes back as it came, never decoded."""
    data = request.args["data"]
    return pb.ExecuteResponse(
        success=True, result={"data": data}, timestamp=time.time_ns(), codec=request.codec
    )


def chunks(request: pb.ExecuteRequest) -> Iterator[pb.StreamResponse]:
    """The chunks of ``bench_stream``, which carry the same bytes as a Snakepit worker's."""
    count, size = json.loads(request.args["count"]), json.loads(request.args["size"])
    data = binary(b"\xff" * size)
    for _ in range(count):
        yield pb.StreamResponse(
            chunk={"data": data}, timestamp=time.time_ns(), codec=pb.CODEC_MSGPACK
        )
    yield pb.StreamResponse(is_final=True, timestamp=time.time_ns(), codec=pb.CODEC_MSGPACK)


def binary(data: bytes) -> bytes:
    """MessagePack of ``data``."""
    size = len(data)
    if size < 1 << 8:
        return b"\xc4" + size.to_bytes(1, "big") + data
    if size < 1 << 16:
        return b"\xc5" + size.to_bytes(2, "big") + data
    return b"\xc6" + size.to_bytes(4, "big") + data


class SyncServicer(SnakepitBridgeServicer):
    """Runs handlers on a thread pool."""

    def Execute(self, request: pb.ExecuteRequest, _context: Any) -> pb.ExecuteResponse:
        return echo(request)

    def ExecuteStream(
        self, request: pb.ExecuteRequest, _context: Any
    ) -> Iterator[pb.StreamResponse]:
        return chunks(request)


class AsyncServicer(SnakepitBridgeServicer):
    """Runs handlers on an asyncio loop."""

    async def Execute(self, request: pb.ExecuteRequest, _context: Any) -> pb.ExecuteResponse:
        return echo(request)

    async def ExecuteStream(
        self, request: pb.ExecuteRequest, _context: Any
    ) -> AsyncIterator[pb.StreamResponse]:
        for chunk in chunks(request):
            yield chunk


def add_to_server(servicer: SnakepitBridgeServicer, server: Any) -> None:
    add_SnakepitBridgeServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]


def serve_sync(target: str) -> None:
    server = grpc.server(ThreadPoolExecutor(MAX_CALLS), options=OPTIONS)
    add_to_server(SyncServicer(), server)
    server.add_insecure_port(target)
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop(None)


async def serve_aio(target: str) -> None:
    server = grpc.aio.server(options=OPTIONS)
    add_to_server(AsyncServicer(), server)
    server.add_insecure_port(target)
    await server.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    _, target, flavour = sys.argv
    if flavour == "threads":
        serve_sync(target)
    else:
        asyncio.run(serve_aio(target))
