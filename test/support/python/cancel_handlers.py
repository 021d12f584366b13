"""Handlers that end in different ways when their call is cancelled."""

import asyncio
import time

from snakepit_bridge import Context, command, stream


@command
def spins():
    while True:
        pass


@command
def looks(ctx: Context):
    while not ctx.cancelled:
        time.sleep(0.001)


@command
async def waits():
    await asyncio.sleep(60)


@stream
def counts():
    while True:
        yield {}
