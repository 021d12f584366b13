"""What the workers of the contract tests serve."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any

from snakepit_bridge import Context, bidi_stream, client_stream, command, on_stop, stream

_here = threading.local()
#: Chunks that the streams have made.
made = 0
_release = threading.Event()


def tell(message: str) -> None:
    """Sends a message to the test."""
    if "SNAKEPIT_TEST_BEACON" in os.environ:
        with beacon() as test:
            test.send(message.encode())


def beacon() -> socket.socket:
    """A socket that leads to the test."""
    test = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    test.connect(os.environ["SNAKEPIT_TEST_BEACON"])
    return test


@on_stop
def _stopped() -> None:
    tell("on_stop")


@command
def mirror(value: Any) -> Any:
    return {"value": value, "type": type(value).__name__}


@command
def evaluate(code: str) -> Any:
    return eval(code, {"sys": sys})


@command
def thread() -> dict[str, Any]:
    _here.calls = getattr(_here, "calls", 0) + 1
    return {"ident": threading.get_ident(), "calls": _here.calls}


@command(main_thread=True)
def on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@command
async def on_loop() -> str:
    await asyncio.sleep(0)
    return asyncio.get_running_loop().__class__.__module__.split(".")[0]


@command
def fail(message: str) -> None:
    error = LookupError(message)
    error.retryable = True  # type: ignore[attr-defined]
    raise error


@command
async def fail_on_loop(message: str) -> None:
    await asyncio.sleep(0)
    raise LookupError(message)


@command
def about(ctx: Context) -> dict[str, Any]:
    return {
        "session_id": ctx.session_id,
        "request_id": ctx.request_id,
        "metadata": ctx.metadata,
        "worker_id": ctx.worker_id,
        "remaining": ctx.time_remaining(),
        "command": ctx.command,
    }


@command
def count(ctx: Context) -> int:
    ctx.session["count"] = ctx.session.get("count", 0) + 1
    return ctx.session["count"]


@command
def wait_for_release(name: str = "waiting") -> str:
    tell(name)
    _release.wait()
    return name


@command(main_thread=True)
def release() -> None:
    """On the main thread, and so also while all others wait."""
    _release.set()


@command
def read_file(path: str) -> str:
    tell("reading")
    with open(path) as file:
        return file.read()


@command
def busy() -> None:
    rounds = 0
    tell("busy")
    try:
        while True:
            rounds += 1
    except BaseException as exc:
        tell(type(exc).__name__)
        raise


@command
def stubborn() -> None:
    tell("stubborn")
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            pass


@command
async def sleep_on_loop() -> None:
    tell("asleep")
    try:
        await asyncio.sleep(60)
    except BaseException as exc:
        tell(type(exc).__name__)
        raise


@command
def asks(ctx: Context) -> None:
    tell("asks")
    while not ctx.cancelled:
        time.sleep(0.001)
    tell("asked")


@command
def log(message: str) -> None:
    logging.getLogger("contract").warning(message)


@command
def say(message: str) -> None:
    print(message)
    os.write(1, b"by the descriptor\n")
    print("an error", file=sys.stderr)
    subprocess.run(["echo", "a child"], check=True)


@command
def child() -> int:
    return subprocess.Popen(["sleep", "60"]).pid


@command
def die(status: int) -> None:
    os._exit(status)


@stream
def numbers(count: int, size: int = 0) -> Any:
    global made
    try:
        for made in range(1, count + 1):
            yield {"n": made, "filling": b"x" * size} if size else {"n": made}
        return {"last": made}
    finally:
        tell("closed")


@stream
async def numbers_on_loop(count: int, size: int = 0) -> Any:
    global made
    try:
        for made in range(1, count + 1):
            yield {"n": made, "filling": b"x" * size} if size else {"n": made}
    finally:
        tell("closed")


@stream
def session_numbers(ctx: Context) -> Any:
    ctx.session["streams"] = ctx.session.get("streams", 0) + 1
    yield {"streams": ctx.session["streams"]}


@stream
def fail_after(count: int) -> Any:
    yield from ({"n": n} for n in range(count))
    raise LookupError("enough")


@stream
def bad_chunk() -> Any:
    try:
        yield {"n": 1}
        yield {"n": [1, {2}]}
    finally:
        tell("bad chunk")


@client_stream
def total(chunks: Any) -> int:
    return sum(chunk["n"] for chunk in chunks)


@client_stream
def read_one(ctx: Context, chunks: Any) -> None:
    next(chunks)
    tell("one")
    while not ctx.cancelled:
        time.sleep(0.001)
    tell("cancelled")


@client_stream
def collect(chunks: Any) -> None:
    tell("collecting")
    try:
        for _ in chunks:
            tell("one")
    except BaseException as exc:
        tell(type(exc).__name__)
        raise
    tell("complete")


@client_stream
async def total_on_loop(chunks: Any) -> int:
    return sum([chunk["n"] async for chunk in chunks])


@bidi_stream
def double(chunks: Any) -> Any:
    try:
        for chunk in chunks:
            yield {"n": 2 * chunk["n"]}
        return {"done": True}
    except BaseException as exc:
        tell(type(exc).__name__)
        raise


@bidi_stream
async def double_on_loop(chunks: Any) -> Any:
    try:
        async for chunk in chunks:
            yield {"n": 2 * chunk["n"]}
    except BaseException as exc:
        tell(type(exc).__name__)
        raise


@client_stream
def read_slowly(chunks: Any) -> int:
    """Reads a chunk each time the test calls ``release``."""
    read = 0
    for _ in chunks:
        read += 1
        tell(f"read {read}")
        _release.wait()
        _release.clear()
    return read
