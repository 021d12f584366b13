"""The handlers that ``make bench`` measures: they do as little as a handler can."""

from __future__ import annotations

import time
from collections.abc import Iterator

from snakepit_bridge import command, stream

__all__ = [
    "bench_blob",
    "bench_clock",
    "bench_echo",
    "bench_nap",
    "bench_numbers",
    "bench_size",
    "bench_stream",
    "bench_table",
]


@command
def bench_echo(data: bytes) -> dict[str, bytes]:
    """Returns ``data``."""
    return {"data": data}


@command
def bench_clock(data: bytes) -> dict[str, int]:
    """When it was entered: ``CLOCK_MONOTONIC`` in nanoseconds."""
    return {"entered": time.clock_gettime_ns(time.CLOCK_MONOTONIC)}


@stream
def bench_stream(count: int, size: int) -> Iterator[dict[str, bytes]]:
    """Yields ``count`` chunks of ``size`` bytes under ``"data"``."""
    data = b"\xff" * size
    for _ in range(count):
        yield {"data": data}


@stream
def bench_numbers(count: int) -> Iterator[dict[str, int]]:
    """Yields ``count`` small maps."""
    for n in range(count):
        yield {"n": n}


@command
def bench_blob(size: int) -> dict[str, bytes]:
    """A result of ``size`` bytes, made when it is asked for."""
    return {"data": b"\xff" * size}


@command
def bench_size(data: bytes) -> dict[str, int]:
    """The size of an argument."""
    return {"size": len(data)}


@command
def bench_nap(ms: int) -> dict[str, int]:
    """Gives the time, in microseconds, at which it ends."""
    time.sleep(ms / 1000)
    return {"ended": time.time_ns() // 1000}


@command
def bench_table(n: int) -> dict[str, list[dict[str, object]]]:
    """A result of ``n`` small rows."""
    return {"rows": [{"n": i, "text": "x" * 10} for i in range(n)]}
