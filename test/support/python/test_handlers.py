"""Handlers for the Elixir tests."""

import asyncio
import ctypes
import datetime
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

from beacon import Beacon

from snakepit_bridge import Context, Final, command, stream


@command
def describe(value):
    """What an argument has become."""
    return {"type": type(value).__name__, "repr": repr(value)}


@command
def python_values():
    return {
        "none": None,
        "true": True,
        "int": -7,
        "big": 2**70,
        "big_negative": -(2**64) - 1,
        "u64": 2**64 - 1,
        "float": 1.5,
        "nan": float("nan"),
        "inf": float("inf"),
        "neg_inf": float("-inf"),
        "str": "grüße",
        "empty": "",
        "bytes": b"\x00\xff",
        "list": [1, [2, []]],
        "tuple": (1, "two"),
        "dict": {"a": {"b": {}}, 1: "one"},
        "datetime": datetime.datetime(2026, 1, 2, 3, 4, 5),
        "date": datetime.date(2026, 1, 2),
        "time": datetime.time(3, 4, 5),
    }


@command
def give_scalar():
    return 5


@command
def give_nothing():
    return None


@command
def give_object():
    return {"layers": [1, 2, {"weights": object()}]}


@command
def give_set():
    return {"names": {"a"}}


@command
def give_bytes(size: int):
    return {"data": b"x" * size}


@command
def measure_bytes(data: bytes):
    """Looks at both ends only."""
    return {"size": len(data), "ends": data[:1] + data[-1:]}


@command
def digests_of(values: list[bytes]):
    return {"digests": [hashlib.sha256(value).digest() for value in values]}


@command
def give_rows(n: int):
    return {"rows": list(range(n))}


@command
def give_clash():
    return {"value": {"key": 1, b"key": 2}}


@command
def typed(n: int, flag: bool = False):
    return {"n": n, "flag": flag}


@command
def raise_error(message: str):
    raise ValueError(message)


@command
def raise_deep():
    def helper():
        return {}["missing"]

    return helper()


@command
def context(ctx: Context):
    return {
        "session_id": ctx.session_id,
        "request_id": ctx.request_id,
        "metadata": ctx.metadata,
        "worker_id": ctx.worker_id,
        "time_remaining": ctx.time_remaining(),
    }


@command
def count_session(ctx: Context):
    ctx.session["n"] = ctx.session.get("n", 0) + 1
    return {"n": ctx.session["n"], "os_pid": os.getpid()}


@command
def say(text: str):
    print(text)


@command
def say_much(size: int):
    sys.stdout.write("x" * size + "\n")
    sys.stdout.flush()


@command
def os_pid():
    return {"os_pid": os.getpid(), "thread": threading.current_thread().name}


@command
def hold(beacon: int, name: str = "held"):
    """Does not end until the test says so."""
    return {"word": Beacon(beacon).wait(name)}


@command
async def hold_async(beacon: int):
    link = Beacon(beacon)
    link.tell("held")
    try:
        await asyncio.Event().wait()
    finally:
        link.tell("closed")


@command
def end_process(status: int):
    os._exit(status)


@command
def leave_child():
    """Starts a child that keeps the standard output open."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    return {"child": child.pid, "os_pid": os.getpid()}


@stream
def count(n: int, size: int = 0):
    for i in range(n):
        yield {"n": i, "data": b"x" * size}


@stream
def count_with_result(n: int):
    for i in range(n):
        yield {"n": i}
    return {"total": n}


@stream
async def count_async(n: int):
    for i in range(n):
        yield {"n": i}
    yield Final({"total": n})


@stream
def fail_after(n: int):
    for i in range(n):
        yield {"n": i}
    raise RuntimeError(f"failed after {n}")


@stream
def give_object_after(n: int):
    for i in range(n):
        yield {"n": i}
    yield {"bad": [object()]}


@stream
def final_error_key():
    yield {"n": 0}
    return {"error": "only a word"}


@stream
def watched(beacon: int):
    """Endless. Tells when it has ended."""
    link = Beacon(beacon)
    link.tell("started")
    n = 0
    try:
        while True:
            yield {"n": n}
            n += 1
    finally:
        link.tell("closed")


@stream
async def watched_async(beacon: int):
    link = Beacon(beacon)
    link.tell("started")
    n = 0
    try:
        while True:
            yield {"n": n}
            n += 1
    finally:
        link.tell("closed")


@stream
def produced(beacon: int, n: int, size: int = 0):
    """Tells of every chunk it makes."""
    link = Beacon(beacon)
    for i in range(n):
        link.tell(f"made {i}")
        yield {"n": i, "data": b"x" * size}
    link.tell("made all")


@stream
def silent_after(beacon: int, n: int):
    """Yields n chunks and then waits for the test."""
    for i in range(n):
        yield {"n": i}
    Beacon(beacon).wait("silent")


@command
async def wait_async():
    await asyncio.Event().wait()


@command
def end_by_signal(number: int):
    os.kill(os.getpid(), number)
    time.sleep(10)


@command
def burn(ms: int):
    """Keeps the interpreter busy."""
    end = time.monotonic() + ms / 1000
    while time.monotonic() < end:
        pass
    return {"os_pid": os.getpid()}


GRANDPARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
child.wait()
"""


@command
def leave_grandchild():
    """Starts a child that starts a child. The three process ids."""
    child = subprocess.Popen([sys.executable, "-c", GRANDPARENT], stdout=subprocess.PIPE, text=True)
    return {"os_pids": [os.getpid(), child.pid, int(child.stdout.readline())]}


@command(main_thread=True)
def ignore_sigterm():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return {"os_pid": os.getpid()}


@command
def hold_interpreter(beacon: int):
    """Lets no other Python code run until the test says so, as some C libraries do."""
    link = Beacon(beacon)
    receive = ctypes.PyDLL(None).recv
    link.tell("holding")
    return {"received": receive(link._socket.fileno(), ctypes.create_string_buffer(16), 16, 0)}


_kept = []


@command
def grow(mib: int):
    """Keeps so much memory for good."""
    _kept.append(bytearray(b"x") * (mib * 1024 * 1024))
    return {"os_pid": os.getpid()}


worked = []


@command
def work(ms: int):
    """Sleeps, and keeps count of having done so."""
    time.sleep(ms / 1000)
    worked.append(ms)
    return {"worked": len(worked)}


@stream
def work_in_steps(ms: int, steps: int):
    for step in range(steps):
        time.sleep(ms / steps / 1000)
        yield {"step": step}
    worked.append(ms)


@command
def times_worked():
    return {"worked": len(worked)}
