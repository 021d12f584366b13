"""A grpcio client of ``grpcio_server.py``, at its fastest; it decodes no values.

``grpcio_client.py TARGET sync|aio unary|stream|first COUNT SIZE CALLERS`` prints one JSON
object of figures, as the bare Rust client does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from time import perf_counter
from typing import Any

import grpc
from grpc.experimental import ChannelOptions
from grpcio_server import binary

from snakepit_bridge.grpc import snakepit_pb2 as pb
from snakepit_bridge.grpc.snakepit_pb2_grpc import SnakepitBridgeStub

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Without it a stream of the sync client hands every chunk from thread to thread.
    (ChannelOptions.SingleThreadedUnaryStream, 1),
]
WARM_UP = 100


class SyncClient:
    """Calls from threads."""

    def __init__(self, target: str) -> None:
        channel = grpc.insecure_channel(target, OPTIONS)
        self.stub = SnakepitBridgeStub(channel)  # type: ignore[no-untyped-call]

    def unary(self, count: int, size: int, callers: int) -> dict[str, float]:
        self.calls(WARM_UP, size)
        start = perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            rows = list(pool.map(self.calls, [count // callers] * callers, [size] * callers))
        return latency_figures(chain.from_iterable(rows), perf_counter() - start)

    def calls(self, count: int, size: int) -> list[float]:
        request = echo_request(size)
        latencies = []
        for _ in range(count):
            start = perf_counter()
            response = self.stub.Execute(request)
            latencies.append(perf_counter() - start)
            assert response.success, response.error
        return latencies

    def stream(self, count: int, size: int, _callers: int) -> dict[str, float]:
        self.receive(WARM_UP, 10)
        start = perf_counter()
        received = self.receive(count, size)
        return stream_figures(count, received, perf_counter() - start)

    def receive(self, count: int, size: int) -> int:
        received = 0
        for chunk in self.stub.ExecuteStream(stream_request(count, size)):
            received += len(chunk.chunk["data"]) if not chunk.is_final else 0
        return received

    def first(self, count: int, _size: int, _callers: int) -> dict[str, float]:
        for _ in range(WARM_UP):
            self.time_to_first()
        start = perf_counter()
        return latency_figures([self.time_to_first() for _ in range(count)], perf_counter() - start)

    def time_to_first(self) -> float:
        start = perf_counter()
        chunks = self.stub.ExecuteStream(stream_request(1, 10))
        next(chunks)
        elapsed = perf_counter() - start
        for _ in chunks:
            pass
        return elapsed


class AsyncClient:
    """Calls from tasks of one asyncio loop."""

    def __init__(self, target: str) -> None:
        channel = grpc.aio.insecure_channel(target, OPTIONS[:2])
        self.stub = SnakepitBridgeStub(channel)  # type: ignore[no-untyped-call]

    async def unary(self, count: int, size: int, callers: int) -> dict[str, float]:
        await self.calls(WARM_UP, size)
        start = perf_counter()
        rows = await asyncio.gather(*(self.calls(count // callers, size) for _ in range(callers)))
        return latency_figures(chain.from_iterable(rows), perf_counter() - start)

    async def calls(self, count: int, size: int) -> list[float]:
        request = echo_request(size)
        latencies = []
        for _ in range(count):
            start = perf_counter()
            response = await self.stub.Execute(request)
            latencies.append(perf_counter() - start)
            assert response.success, response.error
        return latencies

    async def stream(self, count: int, size: int, _callers: int) -> dict[str, float]:
        await self.receive(WARM_UP, 10)
        start = perf_counter()
        received = await self.receive(count, size)
        return stream_figures(count, received, perf_counter() - start)

    async def receive(self, count: int, size: int) -> int:
        received = 0
        async for chunk in self.stub.ExecuteStream(stream_request(count, size)):
            received += len(chunk.chunk["data"]) if not chunk.is_final else 0
        return received

    async def first(self, count: int, _size: int, _callers: int) -> dict[str, float]:
        for _ in range(WARM_UP):
            await self.time_to_first()
        start = perf_counter()
        latencies = [await self.time_to_first() for _ in range(count)]
        return latency_figures(latencies, perf_counter() - start)

    async def time_to_first(self) -> float:
        start = perf_counter()
        chunks = self.stub.ExecuteStream(stream_request(1, 10)).__aiter__()
        await chunks.__anext__()
        elapsed = perf_counter() - start
        async for _ in chunks:
            pass
        return elapsed


def echo_request(size: int) -> pb.ExecuteRequest:
    args = {"data": binary(b"\xff" * size)}
    return pb.ExecuteRequest(command="bench_echo", args=args, codec=pb.CODEC_MSGPACK)


def stream_request(count: int, size: int) -> pb.ExecuteRequest:
    args = {"count": b"%d" % count, "size": b"%d" % size}
    return pb.ExecuteRequest(command="bench_stream", args=args)


def latency_figures(latencies: Iterable[float], elapsed: float) -> dict[str, float]:
    ordered = sorted(latencies)
    return {
        "p50_us": ordered[len(ordered) * 50 // 100] * 1e6,
        "p99_us": ordered[len(ordered) * 99 // 100] * 1e6,
        "per_s": len(ordered) / elapsed,
    }


def stream_figures(count: int, received: int, elapsed: float) -> dict[str, float]:
    return {"chunks": count, "per_s": count / elapsed, "mb_per_s": received / elapsed / 1e6}


async def run_aio(target: str, mode: str, numbers: list[int]) -> dict[str, float]:
    figures: dict[str, float] = await getattr(AsyncClient(target), mode)(*numbers)
    return figures


def main(target: str, flavour: str, mode: str, count: str, size: str, callers: str) -> None:
    numbers = [int(count), int(size), int(callers)]
    if flavour == "sync":
        figures = getattr(SyncClient(target), mode)(*numbers)
    else:
        figures = asyncio.run(run_aio(target, mode, numbers))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
