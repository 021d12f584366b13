"""Calls the handlers of ``bench_handlers`` in a loop, with no transport at all.

``handler_loop.py unary|stream COUNT SIZE`` prints one JSON object of figures: what Python itself
needs, so that nothing in front of it can be faster.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

from bench_handlers import bench_echo, bench_stream

__all__ = ["stream", "unary"]


def unary(count: int, size: int) -> dict[str, float]:
    """Calls the echo, one call after the other."""
    data = b"\xff" * size
    start = perf_counter()
    for _ in range(count):
        bench_echo(data)
    elapsed = perf_counter() - start
    # The clock takes about as long as the call, so there is no median of single calls.
    return {"p50_us": elapsed / count * 1e6, "per_s": count / elapsed}


def stream(count: int, size: int) -> dict[str, float]:
    """Takes all chunks of one stream."""
    start = perf_counter()
    for _ in bench_stream(count, size):
        pass
    elapsed = perf_counter() - start
    return {"per_s": count / elapsed, "mb_per_s": count * size / elapsed / 1e6}


if __name__ == "__main__":
    mode, count, size = sys.argv[1:]
    run = {"unary": unary, "stream": stream}[mode]
    print(json.dumps(run(int(count), int(size))))
