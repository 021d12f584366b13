"""The handlers that ``make bench`` measures: they do as little as a handler can."""

from __future__ import annotations

from collections.abc import Iterator

from snakepit_bridge import command, stream

__all__ = ["bench_echo", "bench_stream"]


@command
def bench_echo(data: bytes) -> dict[str, bytes]:
    """Returns ``data``."""
    return {"data": data}


@stream
def bench_stream(count: int, size: int) -> Iterator[dict[str, bytes]]:
    """Yields ``count`` chunks of ``size`` bytes under ``"data"``."""
    data = b"\xff" * size
    for _ in range(count):
        yield {"data": data}
