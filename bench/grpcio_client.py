"""A grpcio client of ``grpcio_server.py``, as threads or as asyncio; it decodes no values.

``grpcio_client.py threads|tuned|asyncio`` answers each line of stdin, a JSON object ``{"target",
"mode": "unary"|"stream"|"first", "count", "size", "callers"}``, with one of figures. ``threads``
has the options that grpcio has by itself; ``tuned`` hands the chunks of a stream over without a
change of thread.
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
from grpcio_server import OPTIONS, binary

from snakepit_bridge.grpc import snakepit_pb2 as pb
from snakepit_bridge.grpc.snakepit_pb2_grpc import SnakepitBridgeStub

TUNED: list[tuple[str, Any]] = [(ChannelOptions.SingleThreadedUnaryStream, 1)]
WARM_UP = 100


class SyncClient:
    """Calls from threads."""

    def __init__(self, target: str, options: list[tuple[str, Any]]) -> None:
        channel = grpc.insecure_channel(target, OPTIONS + options)
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
        channel = grpc.aio.insecure_channel(target, OPTIONS)
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
    return {"per_s": count / elapsed, "mb_per_s": received / elapsed / 1e6}


def serve_sync(options: list[tuple[str, Any]]) -> None:
    clients: dict[str, SyncClient] = {}
    for line in sys.stdin:
        question = json.loads(line)
        target = question["target"]
        client = clients.get(target) or clients.setdefault(target, SyncClient(target, options))
        print(json.dumps(getattr(client, question["mode"])(*numbers(question))), flush=True)


async def serve_aio() -> None:
    clients: dict[str, AsyncClient] = {}
    while line := await asyncio.to_thread(sys.stdin.readline):
        question = json.loads(line)
        target = question["target"]
        client = clients.get(target) or clients.setdefault(target, AsyncClient(target))
        print(json.dumps(await getattr(client, question["mode"])(*numbers(question))), flush=True)


def numbers(question: dict[str, Any]) -> list[int]:
    return [question["count"], question["size"], question["callers"]]


if __name__ == "__main__":
    flavour = sys.argv[1]
    if flavour == "asyncio":
        asyncio.run(serve_aio())
    else:
        serve_sync(TUNED if flavour == "tuned" else [])
