"""A command that a worker gets to know as brief, and that then takes long after all."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Any

from contract_handlers import beacon, tell

from snakepit_bridge import command


@command
def gate(fifo: str = "", spin: bool = False, fork: bool = False) -> Any:
    """Is back at once, unless it is told where to wait: then when the test has written there."""
    if fifo:
        tell("waiting")
        with open(fifo) as end:
            fifo = end.read()
    if spin:
        tell("spinning")
        try:
            while True:
                time.sleep(0.001)
        except BaseException as exc:
            tell(type(exc).__name__)
            raise
    if fork:
        return os.fork()
    return fifo


@command(main_thread=True)
def gate_on_main_thread(fifo: str = "") -> Any:
    return gate(fifo)


@command
def long(fifo: str, then_hold: str = "") -> str:
    """Never known as brief. May hold the interpreter at its end."""
    tell("long")
    with open(fifo) as end:
        read = end.read()
    if then_hold:
        hold_interpreter(then_hold)
    return read


def hold_interpreter(fifo: str) -> None:
    """Waits for what the test writes, and lets no other Python code run meanwhile."""
    system, read = ctypes.PyDLL(None), ctypes.create_string_buffer(1)
    interval = sys.getswitchinterval()
    with beacon() as test, open(fifo, "rb+", buffering=0) as end:
        told, awaited, message = test.fileno(), end.fileno(), b"holding"
        # Not even between the message and the wait.
        sys.setswitchinterval(1000)
        system.write(told, message, len(message))
        system.read(awaited, read, 1)
        sys.setswitchinterval(interval)
