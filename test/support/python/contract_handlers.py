"""What a worker of every kind must be able to do. contract_handlers.js has the same."""

import asyncio
import os
import sys
import time

from beacon import Beacon

from snakepit_bridge import (
    Context,
    bidi_stream,
    client_stream,
    command,
    on_session_end,
    on_stop,
    stream,
)


@command
def same(value):
    return {"value": value}


@command
def odd_floats():
    return {"nan": float("nan"), "infinity": float("inf"), "neg_infinity": float("-inf")}


@command
def twice(array):
    return {"sum": float(array.sum()), "twice": 2 * array}


@command
async def same_later(value):
    await asyncio.sleep(0)
    return {"value": value}


@command
def fail(message: str):
    raise RuntimeError(message)


@command
def unencodable():
    return {"layers": [{"weights": object()}]}


@command
def sized(size: int):
    return {"data": b"x" * size}


@command
async def linger(beacon: int):
    """Waits until it is cancelled."""
    try:
        Beacon(beacon).tell("lingers")
        await asyncio.sleep(3600)
    finally:
        Beacon(beacon).tell("ended")


@command
async def wait_ms(ms: int):
    await asyncio.sleep(ms / 1000)
    return {"waited": ms}


@command
def leave(status: int):
    os._exit(status)


@command
def process():
    return {"os_pid": os.getpid()}


@command
def tally(ctx: Context):
    ctx.session["tally"] = ctx.session.get("tally", 0) + 1
    return {"tally": ctx.session["tally"]}


@command
def remember_beacon(ctx: Context, beacon: int):
    ctx.session["beacon"] = beacon


@on_session_end
def session_ended(session_id: str, session: dict):
    if "beacon" in session:
        Beacon(session["beacon"]).tell(f"ended {session_id}")


@command
def about(ctx: Context):
    remaining = ctx.time_remaining()
    return {
        "request_id": ctx.request_id,
        "session_id": ctx.session_id,
        "metadata": dict(ctx.metadata),
        "command": ctx.command,
        "in_time": remaining is not None and 0 < remaining <= 30,
    }


@command
def say(text: str):
    print(text)
    print(f"{text}, aside", file=sys.stderr)


farewell = []


@command
def on_farewell(beacon: int):
    farewell.append(beacon)


@on_stop
def say_farewell():
    for beacon in farewell:
        Beacon(beacon).tell("farewell")


@stream
def count_up(n: int):
    for i in range(n):
        yield {"i": i}
    return {"n": n}


@stream
async def count_up_later(n: int):
    for i in range(n):
        yield {"i": i}


@stream
def fail_after(n: int):
    for i in range(n):
        yield {"i": i}
    raise RuntimeError("midway")


@stream
def produce(beacon: int):
    """Tells of every chunk, and of its end."""
    link = Beacon(beacon)
    try:
        i = 0
        while True:
            link.tell(f"chunk {i}")
            yield {"i": i}
            i += 1
    finally:
        link.tell("closed")


@client_stream
def add_up(chunks):
    return {"sum": sum(chunk["n"] for chunk in chunks)}


@bidi_stream
def double(chunks):
    for chunk in chunks:
        yield {"n": 2 * chunk["n"]}


@command
def block(ms: int):
    """Holds its thread, and not Python."""
    time.sleep(ms / 1000)
    return {"blocked": ms}
