"""Handlers for the tests of streams. What happens in them reaches the test as datagrams."""

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import socket
import sys
import threading
import time

from snakepit_bridge import Context, Final, bidi_stream, client_stream, command, stream
from snakepit_bridge._exceptions import Cancelled, InputFailed

# -- what the tests see of a handler


class Beacon:
    """Sends the test what happens here and when, and waits for its word."""

    def __init__(self, port):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._test = ("127.0.0.1", port)

    def tell(self, event, **fields):
        message = {"event": event, "at": time.time_ns(), **fields}
        self._socket.sendto(json.dumps(message).encode(), self._test)

    def wait(self):
        self._socket.recv(64)

    async def wait_async(self):
        self._socket.setblocking(False)
        await asyncio.get_running_loop().sock_recv(self._socket, 64)


class Told:
    """Tells how its block ended."""

    lock = threading.Lock()
    begun = 0
    ended = 0

    def __init__(self, beacon):
        self.beacon = beacon

    def __enter__(self):
        with Told.lock:
            Told.begun += 1
        return self.beacon

    def __exit__(self, kind, _value, _trace):
        self.beacon.tell("ended", by="return" if kind is None else kind.__name__)
        with Told.lock:
            Told.ended += 1


made = {}


@command
def made_by(key: str):
    """How many chunks the producer of that name has made."""
    return {"made": made.get(key, 0)}


@command
def process():
    """What this process holds."""
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    # The loop's thread was started by a handler thread, and has its name from it.
    loops = {thread.native_id for thread in threading.enumerate() if "asyncio" in thread.name}
    names = []
    for task in set(map(int, os.listdir("/proc/self/task"))) - loops:
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm") as comm:
            names.append(comm.read().strip())
    return {
        "os_pid": os.getpid(),
        "rss": pages * resource.getpagesize(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "handler_threads": sum(name.startswith("snakepit-handle") for name in names),
        "begun": Told.begun,
        "ended": Told.ended,
    }


@command
async def tasks():
    """How many asyncio tasks there are besides this one."""
    return {"tasks": len(asyncio.all_tasks()) - 1}


@command
def spin_for(ms: int):
    until = time.monotonic() + ms / 1000
    while time.monotonic() < until:
        pass


# -- server streams


@stream
def numbers(n: int):
    for i in range(n):
        yield {"n": i}


@stream
async def numbers_async(n: int):
    for i in range(n):
        yield {"n": i}


@stream
def numbers_total(n: int):
    for i in range(n):
        yield {"n": i}
    return {"total": n}


@stream
async def numbers_total_async(n: int):
    for i in range(n):
        yield {"n": i}
    yield Final({"total": n})


@stream
def numbers_fail(n: int):
    for i in range(n):
        yield {"n": i}
    raise ValueError(f"no more than {n}")


@stream
async def numbers_fail_async(n: int):
    for i in range(n):
        yield {"n": i}
    raise ValueError(f"no more than {n}")


@stream
def numbers_odd(n: int):
    """The last of them cannot be encoded."""
    for i in range(n):
        yield {"n": i}
    yield {"layers": [1, {"weights": object()}]}


@stream
async def numbers_odd_async(n: int):
    for i in range(n):
        yield {"n": i}
    yield {"layers": [1, {"weights": object()}]}


@stream
def numbers_large(n: int, size: int):
    """The last of them has ``size`` bytes."""
    for i in range(n):
        yield {"n": i}
    yield {"data": b"x" * size}


@stream
async def numbers_large_async(n: int, size: int):
    for i in range(n):
        yield {"n": i}
    yield {"data": b"x" * size}


@stream
def own_flags():
    """Chunks with keys that mean something to Snakepit."""
    yield {"n": 0, "is_final": True}
    yield {"n": 1, "error": "a word"}
    return {"n": 2, "is_final": False, "error": "another"}


@stream
def session_numbers(ctx: Context, n: int):
    """Counts on from where the last stream of this session stopped."""
    for _ in range(n):
        ctx.session["n"] = ctx.session.get("n", 0) + 1
        yield {"n": ctx.session["n"]}


@stream
async def session_numbers_async(ctx: Context, n: int):
    for _ in range(n):
        ctx.session["n"] = ctx.session.get("n", 0) + 1
        yield {"n": ctx.session["n"]}


@stream
def remaining(ctx: Context, n: int):
    for _ in range(n):
        yield {"remaining": ctx.time_remaining()}


@stream
def paced(n: int, interval: int):
    """Chunks ``interval`` ms apart, each with the time when it was made."""
    due = time.monotonic()
    for i in range(n):
        due += interval / 1000
        yield {"n": i, "at": time.time_ns()}
        time.sleep(max(0.0, due - time.monotonic()))


@stream
async def paced_async(n: int, interval: int):
    due = time.monotonic()
    for i in range(n):
        due += interval / 1000
        yield {"n": i, "at": time.time_ns()}
        await asyncio.sleep(max(0.0, due - time.monotonic()))


@stream
def producer(key: str, n: int = sys.maxsize, size: int = 0):
    """Counts what it makes, see ``made_by``."""
    data = b"x" * size
    for i in range(n):
        made[key] = i + 1
        yield {"n": i, "data": data} if size else {"n": i}


@stream
async def producer_async(key: str, n: int = sys.maxsize, size: int = 0):
    data = b"x" * size
    for i in range(n):
        made[key] = i + 1
        yield {"n": i, "data": data} if size else {"n": i}


@stream
def fresh_blocks(n: int, size: int):
    """Every chunk is memory of its own."""
    for i in range(n):
        yield {"n": i, "data": os.urandom(16) * (size // 16)}


# -- server streams that are cancelled: each makes a chunk, then what its name says


@stream
def yields(beacon: int, key: str = ""):
    with Told(Beacon(beacon)):
        i = 0
        while True:
            made[key] = i + 1
            yield {"n": i}
            i += 1


@stream
async def yields_async(beacon: int, key: str = ""):
    with Told(Beacon(beacon)):
        i = 0
        while True:
            made[key] = i + 1
            yield {"n": i}
            i += 1


@stream
def busy(beacon: int):
    with Told(Beacon(beacon)):
        yield {"n": 0}
        while True:
            pass


@stream
async def awaits(beacon: int):
    with Told(Beacon(beacon)):
        yield {"n": 0}
        await asyncio.Event().wait()


@stream
def naps(beacon: int):
    """Comes back to Python every 5 ms."""
    with Told(Beacon(beacon)):
        yield {"n": 0}
        while True:
            time.sleep(0.005)


@stream
def ignores(beacon: int):
    """Ends by nothing that Python can do."""
    link = Beacon(beacon)
    link.tell("begun", os_pid=os.getpid())
    while True:
        try:
            while True:
                yield {"n": 0}
                time.sleep(0.001)
        except BaseException:
            link.tell("ignored")
            while True:
                try:
                    while True:
                        time.sleep(0.001)
                except BaseException:
                    link.tell("ignored")


@command
def holds_interpreter(beacon: int):
    """Lets no other Python code run until the test says so, as some C libraries do."""
    link = Beacon(beacon)
    receive = ctypes.PyDLL(None).recv
    link.tell("holding")
    return {"received": receive(link._socket.fileno(), ctypes.create_string_buffer(16), 16, 0)}


@stream
def slow_farewell(beacon: int, steps: int = 30):
    """Needs longer to clean up than a busy handler is given to stop."""
    link = Beacon(beacon)
    step = 0
    try:
        while True:
            yield {"n": 0}
    finally:
        try:
            while step < steps:
                time.sleep(0.005)
                step += 1
        finally:
            link.tell("ended", by="farewell", steps=step)


@stream
async def slow_farewell_async(beacon: int, steps: int = 30):
    link = Beacon(beacon)
    step = 0
    try:
        while True:
            yield {"n": 0}
    finally:
        try:
            while step < steps:
                await asyncio.sleep(0.005)
                step += 1
        finally:
            link.tell("ended", by="farewell", steps=step)


@bidi_stream
def slow_farewell_input(chunks, beacon: int, steps: int = 30):
    """The same, from waiting for input."""
    link = Beacon(beacon)
    step = 0
    try:
        yield {"n": 0}
        for _ in chunks:
            pass
    finally:
        try:
            while step < steps:
                time.sleep(0.005)
                step += 1
        finally:
            link.tell("ended", by="farewell", steps=step)


@bidi_stream
async def slow_farewell_input_async(chunks, beacon: int, steps: int = 30):
    link = Beacon(beacon)
    step = 0
    try:
        yield {"n": 0}
        async for _ in chunks:
            pass
    finally:
        try:
            while step < steps:
                await asyncio.sleep(0.005)
                step += 1
        finally:
            link.tell("ended", by="farewell", steps=step)


@command
def busy_command(beacon: int):
    with Told(Beacon(beacon)) as link:
        link.tell("begun")
        while True:
            pass


@command
def stepwise_farewell(ctx: Context, beacon: int):
    """Waits for the test's word as it cleans up."""
    with Told(Beacon(beacon)) as link:
        link.tell("begun")
        while not ctx.cancelled:
            pass
        link.tell("told")
        link.wait()


@command
def polite_command(ctx: Context, beacon: int, steps: int = 30):
    """Looks for its cancellation itself, and cleans up for some time."""
    link = Beacon(beacon)
    link.tell("begun")
    while not ctx.cancelled:
        pass
    step = 0
    try:
        while step < steps:
            time.sleep(0.005)
            step += 1
    finally:
        link.tell("ended", by="farewell", steps=step)


@stream
def holds(beacon: int):
    """Makes a chunk, then waits for the test's word, then makes another."""
    link = Beacon(beacon)
    yield {"n": 0}
    link.tell("holds")
    link.wait()
    yield {"n": 1}


@stream
def leaves(ctx: Context):
    """Ends the process after a chunk."""
    yield {"n": 0, "os_pid": os.getpid()}
    time.sleep(3600)


# -- client streams


@client_stream
def total(chunks):
    return {"sum": sum(chunk["n"] for chunk in chunks)}


@client_stream
async def total_async(chunks):
    sum = 0
    async for chunk in chunks:
        sum += chunk["n"]
    return {"sum": sum}


@client_stream
def gathered(chunks):
    return {"chunks": list(chunks)}


@client_stream
async def gathered_async(chunks):
    return {"chunks": [chunk async for chunk in chunks]}


@client_stream
def first(chunks, n: int):
    """Reads no more than n chunks."""
    taken = []
    while len(taken) < n:
        taken.append(next(chunks)["n"])
    return {"taken": taken}


@client_stream
async def first_async(chunks, n: int):
    taken = []
    if n > 0:
        async for chunk in chunks:
            taken.append(chunk["n"])
            if len(taken) == n:
                break
    return {"taken": taken}


@client_stream
def total_fail(chunks, n: int):
    for _ in range(n):
        next(chunks)
    raise ValueError(f"no more than {n}")


@client_stream
async def total_fail_async(chunks, n: int):
    seen = 0
    async for _ in chunks:
        seen += 1
        if seen == n:
            raise ValueError(f"no more than {n}")


@client_stream
def shared_input(chunks, readers: int, beacon: int):
    """Reads its input on several threads, which all wait for more."""
    link = Beacon(beacon)
    counts = []

    def read():
        count = 0
        link.tell("reading")
        for _ in chunks:
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"counts": counts}


@client_stream
def stepwise(chunks, beacon: int):
    """Takes a chunk, tells of it, and waits for the test's word before the next."""
    link = Beacon(beacon)
    count = 0
    with Told(link):
        for _ in chunks:
            count += 1
            link.tell("took", n=count)
            link.wait()
    return {"count": count}


@client_stream
async def stepwise_async(chunks, beacon: int):
    link = Beacon(beacon)
    count = 0
    with Told(link):
        async for _ in chunks:
            count += 1
            link.tell("took", n=count)
            await link.wait_async()
    return {"count": count}


@client_stream
def told_input(chunks, beacon: int):
    """Tells how its input ended."""
    link = Beacon(beacon)
    count = 0
    try:
        for _ in chunks:
            count += 1
    except (InputFailed, Cancelled) as error:
        link.tell("input", type=type(error).__name__, message=str(error), count=count)
        raise
    link.tell("input", type="complete", message="", count=count)
    return {"count": count}


@client_stream
async def told_input_async(chunks, beacon: int):
    link = Beacon(beacon)
    count = 0
    try:
        async for _ in chunks:
            count += 1
    except (InputFailed, Cancelled, asyncio.CancelledError) as error:
        link.tell("input", type=type(error).__name__, message=str(error), count=count)
        raise
    link.tell("input", type="complete", message="", count=count)
    return {"count": count}


@client_stream
def awaits_input(chunks, beacon: int):
    with Told(Beacon(beacon)) as link:
        link.tell("begun")
        for _ in chunks:
            pass


@client_stream
async def awaits_input_async(chunks, beacon: int):
    with Told(Beacon(beacon)) as link:
        link.tell("begun")
        async for _ in chunks:
            pass


# -- values on their way


@stream
def of_all_sizes(n: int):
    """Rows too many for one time slice of a scheduler, few rows, many bytes and few."""
    for i in range(n):
        if i % 4 == 0:
            yield {"n": i, "rows": list(range(40_000))}
        elif i % 4 == 1:
            yield {"n": i, "rows": [i]}
        elif i % 4 == 2:
            yield {"n": i, "data": b"\xff" * 100_000}
        else:
            yield {"n": i, "data": b"\xff"}


@stream
def clashes_after(n: int):
    """A chunk after ``n`` good ones whose keys are different here and the same in Elixir."""
    for i in range(n):
        yield {"n": i}
    yield {"value": {"key": 1, b"key": 2}}
    yield {"n": n}


# -- bidirectional streams


@bidi_stream
def doubled(chunks):
    for chunk in chunks:
        yield {"n": chunk["n"] * 2}


@bidi_stream
async def doubled_async(chunks):
    async for chunk in chunks:
        yield {"n": chunk["n"] * 2}


@bidi_stream
def doubled_total(chunks):
    count = 0
    for chunk in chunks:
        count += 1
        yield {"n": chunk["n"] * 2}
    return {"total": count}


@bidi_stream
async def doubled_total_async(chunks):
    count = 0
    async for chunk in chunks:
        count += 1
        yield {"n": chunk["n"] * 2}
    yield Final({"total": count})


@bidi_stream
def doubled_fail(chunks, n: int):
    for _ in range(n):
        yield {"n": next(chunks)["n"] * 2}
    raise ValueError(f"no more than {n}")


@bidi_stream
async def doubled_fail_async(chunks, n: int):
    count = 0
    async for chunk in chunks:
        if count == n:
            raise ValueError(f"no more than {n}")
        count += 1
        yield {"n": chunk["n"] * 2}


@bidi_stream
def doubled_first(chunks, n: int):
    for _ in range(n):
        yield {"n": next(chunks)["n"] * 2}


@bidi_stream
async def doubled_first_async(chunks, n: int):
    count = 0
    async for chunk in chunks:
        yield {"n": chunk["n"] * 2}
        count += 1
        if count == n:
            return


@bidi_stream
def swallows(chunks, beacon: int):
    """Yields once, then only reads."""
    with Told(Beacon(beacon)):
        yield {"n": 0}
        for _ in chunks:
            pass


@bidi_stream
async def swallows_async(chunks, beacon: int):
    with Told(Beacon(beacon)):
        yield {"n": 0}
        async for _ in chunks:
            pass


@bidi_stream
def pours(chunks, key: str):
    """Never reads."""
    i = 0
    while True:
        i += 1
        made[key] = i
        yield {"n": i}


# -- unary commands beside the streams


@command
def forgets(beacon: int):
    """Loses what is raised in it the first time, as Python does while it frees an object."""
    with Told(Beacon(beacon)) as link:
        link.tell("begun")
        try:
            while True:
                sum(range(1000))
        except BaseException:
            pass
        while True:
            sum(range(1000))


@command
def hold(beacon: int):
    """Does not end until the test says so."""
    link = Beacon(beacon)
    link.tell("held")
    link.wait()


# -- what is lent to the socket

lent = b"\xff" * 100_000


@stream
def lends(n: int):
    for _ in range(n):
        yield {"data": lent}


@command
def lend():
    return {"data": lent}


@command
def references():
    """How many there are to what was lent, once they are as few as ever, or after five seconds."""
    end = time.monotonic() + 5
    while sys.getrefcount(lent) > unlent and time.monotonic() < end:
        time.sleep(0.005)
    return {"more": sys.getrefcount(lent) - unlent}


unlent = sys.getrefcount(lent)
