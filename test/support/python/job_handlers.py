"""Commands that jobs run in tests."""

import os
import time

from beacon import Beacon

from snakepit_bridge import Context, command, stream


@command
def nap(ms: int = 50):
    time.sleep(ms / 1000)
    return {"slept": ms}


@command
def nap_then_tell(ms: int):
    """Gives the time, in microseconds, at which it ends."""
    time.sleep(ms / 1000)
    return {"ended": time.time_ns() // 1000}


@command
def steps(ctx: Context, n: int, beacon: int = 0):
    """Reports every step, and waits after them if it gets a beacon."""
    for step in range(1, n + 1):
        ctx.progress(step / n, message=f"step {step}")
    if beacon:
        Beacon(beacon).wait("reported")
    return {"steps": n}


@command
async def steps_async(ctx: Context, n: int):
    for step in range(1, n + 1):
        ctx.progress(step / n)
    return {"steps": n}


@stream
def steps_stream(ctx: Context, n: int):
    for step in range(1, n + 1):
        ctx.progress(step / n)
        yield {"step": step}


@command
def table(n: int, width: int = 10):
    return {"rows": [{"n": i, "text": "x" * width} for i in range(n)], "of": n}


@command
def histogram(n: int):
    return {"counts": {f"{i:05b}": i for i in reversed(range(n))}, "shots": n}


@stream
def rows(n: int, width: int = 10, hold_at: int = -1, beacon: int = 0):
    for i in range(n):
        if i == hold_at:
            Beacon(beacon).wait("half")
        yield {"n": i, "text": "x" * width}
    return {"n": n, "text": "last"}


@stream
def number_rows(n: int, width: int):
    for i in range(n):
        yield {"values": [i + 0.5] * width}


@command
def table_and_more(n: int, more: int):
    return {"rows": [{"n": i} for i in range(n)], "more": list(range(more))}


@stream
def rows_then_error(n: int):
    for i in range(n):
        yield {"n": i}
    raise ValueError("no more rows")


@command
def busy(beacon: int):
    """Computes until it is interrupted."""
    # Kept: what is raised while Python frees a socket is lost.
    link = Beacon(beacon)
    link.tell("begun")
    while True:
        sum(range(1000))


@command
def ignores_everything(beacon: int):
    """Computes, and ends by nothing that Python can do."""
    Beacon(beacon).tell("begun")
    while True:
        try:
            while True:
                sum(range(1000))
        except BaseException:
            pass


@command
def die():
    os._exit(3)


@command
def raises(message: str):
    raise ValueError(message)


@command
def unencodable():
    return {"handle": object()}


@command
def large(size: int):
    return {"data": b"x" * size}


running = [0, 0]


@command
def count_running(ms: int = 20):
    """How many of these have run at a time."""
    running[0] += 1
    running[1] = max(running)
    time.sleep(ms / 1000)
    running[0] -= 1
    return {"most": running[1]}
