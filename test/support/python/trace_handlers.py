"""Handlers that tell in which trace they run, as OpenTelemetry has it."""

import asyncio

from opentelemetry import trace

from snakepit_bridge import Final, bidi_stream, client_stream, command, stream


def current():
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


@command
def trace_of():
    return {"trace": current()}


@command(main_thread=True)
def trace_of_main():
    return {"trace": current()}


@command
async def trace_of_async():
    await asyncio.sleep(0)
    return {"trace": current()}


@stream
def traces(count: int):
    for _ in range(count):
        yield {"trace": current()}
    return {"trace": current()}


@stream
async def traces_async(count: int):
    for _ in range(count):
        await asyncio.sleep(0)
        yield {"trace": current()}
    yield Final({"trace": current()})


@client_stream
def traces_in(chunks):
    return {"traces": [current() for _ in chunks]}


@bidi_stream
def traces_both(chunks):
    for _ in chunks:
        yield {"trace": current()}
