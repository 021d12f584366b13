"""Handlers that log."""

import asyncio
import logging
import os
import sys
import threading
import time

from snakepit_bridge import command, stream

if "LOG_FORMAT" in os.environ:
    logging.basicConfig(level=logging.DEBUG, format=os.environ["LOG_FORMAT"])

logger = logging.getLogger("handlers.log")


@command
def log(level: str, text: str):
    logger.log(logging.getLevelName(level.upper()), text)


@command
def log_exception():
    try:
        print(1 / 0)
    except ZeroDivisionError:
        logger.exception("it failed")


@command
async def log_async(text: str):
    for _ in range(3):
        await asyncio.sleep(0)
    logger.info(text)


@command
def log_in_thread(text: str):
    thread = threading.Thread(target=logger.info, args=(text,))
    thread.start()
    thread.join()


@command
def log_much(size: int):
    logger.warning("é" * size)


@command
def log_among_prints(count: int, size: int):
    """Another thread prints all the time, without an end of line."""
    done = threading.Event()

    def chatter():
        while not done.is_set():
            os.write(1, b"chatter, ")

    thread = threading.Thread(target=chatter)
    thread.start()
    for n in range(1, count + 1):
        logger.warning(str(n % 10) * size)
    done.set()
    thread.join()
    os.write(1, b"\n")


@command
def print_together(threads: int, lines: int):
    def talk(name):
        for n in range(lines):
            print(f"thread {name} line {n}")

    talkers = [threading.Thread(target=talk, args=(name,)) for name in range(threads)]
    for each in talkers:
        each.start()
    for each in talkers:
        each.join()


@command
def write_both():
    print("to stdout")
    sys.stderr.write("to stderr\n")


@command
def log_without_end(count: int):
    for n in range(count):
        logger.info("line %d", n)
    logger.error("what went wrong")


@command
def print_without_end(lines: int, size: int):
    """As fast as a process can write."""
    some = (b"x" * (size - 1) + b"\n") * 1000
    for _ in range(lines // 1000):
        os.write(1, some)
    print("the last line", flush=True)


@command
def print_and_end(lines: int):
    for n in range(lines):
        print("filler", n)
    print("why it died", flush=True)
    os._exit(3)


@command
def refuses(card: int):
    """Whoever calls it with a text gets an error that repeats it."""


@command
def fails_with(card: str):
    raise ValueError(f"no such card: {card}")


@command
def waits_with(card: str):
    while True:
        time.sleep(0.01)


@command
def ends_with(card: str):
    os._exit(3)


@command
def cannot_send(card: str):
    return {"card": {card: object()}}


@stream
def pays(card: str):
    for _ in range(3):
        yield {"paid": True}
    raise ValueError(f"no such card: {card}")
