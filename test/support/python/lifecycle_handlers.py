"""Handlers that tell where they run, and hooks that tell when."""

import asyncio
import os
import threading

from test_handlers import Beacon

from snakepit_bridge import command, on_start, on_stop

local = threading.local()
state = {"loads": 0, "loop": None}


@on_start
def load():
    if "START_BEACON" in os.environ:
        Beacon(int(os.environ["START_BEACON"])).wait("loading")
    state["loads"] += 1


@on_start
async def warm_up():
    state["loop"] = id(asyncio.get_running_loop())


@on_stop
def say_goodbye():
    if "STOP_BEACON" in os.environ:
        Beacon(int(os.environ["STOP_BEACON"])).tell("stopped")


@on_stop
async def close_connections():
    if "STOP_BEACON" in os.environ:
        Beacon(int(os.environ["STOP_BEACON"])).tell("closed")


@command
def loads():
    return state


_barriers = {}


@command
def meet(parties: int):
    """Ends when as many calls as that are in it together."""
    barrier = _barriers.setdefault(parties, threading.Barrier(parties, timeout=4))
    barrier.wait()
    return {"met": True}


@command
def visit(beacon: int = 0):
    """Counts the calls of its thread, and waits if it gets a beacon."""
    if beacon:
        Beacon(beacon).wait("visiting")
    local.visits = getattr(local, "visits", 0) + 1
    return {"visits": local.visits, "thread": threading.get_ident()}


@command
async def where_async(beacon: int):
    link = Beacon(beacon)
    await asyncio.get_running_loop().run_in_executor(None, link.wait, "async")
    return {"loop": id(asyncio.get_running_loop()), "thread": threading.get_ident()}


@command(main_thread=True)
def in_main_thread(beacon: int = 0):
    if beacon:
        Beacon(beacon).wait("in main")
    return {"main": threading.current_thread() is threading.main_thread()}


@command
def environment(names: list):
    return {name: os.environ.get(name) for name in names}


@command
def threads_of_numpy():
    """How many threads the import of numpy starts."""
    before = len(os.listdir("/proc/self/task"))
    import numpy  # noqa: F401

    return {"threads": len(os.listdir("/proc/self/task")) - before}
