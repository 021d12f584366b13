"""Typical handlers. Not run: mypy checks that the decorators keep their types."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

from snakepit_bridge import (
    Context,
    Final,
    bidi_stream,
    client_stream,
    command,
    on_start,
    on_stop,
    stream,
)

Chunk = dict[str, Any]


@on_start
def load() -> None: ...


@on_stop
async def save() -> None: ...


@command
def summarize(text: str, limit: int = 100) -> Chunk:
    return {"summary": text[:limit]}


@command("other_name", main_thread=True)
def plot(ctx: Context) -> int:
    ctx.session["plots"] = ctx.session.get("plots", 0) + 1
    return len(ctx.metadata)


@command()
async def fetch(url: str) -> str:
    return url


@stream
def train(ctx: Context, epochs: int) -> Generator[Chunk, None, Chunk]:
    for epoch in range(epochs):
        ctx.check_cancelled()
        yield {"epoch": epoch, "left": ctx.time_remaining()}
    return {"final_model_path": "model.bin"}


@stream("ticks")
async def tick(count: int) -> AsyncIterator[Chunk | Final]:
    for index in range(count):
        yield {"index": index}
    yield Final({"count": count})


@client_stream
def total(chunks: Iterator[Chunk]) -> int:
    return sum(int(chunk["n"]) for chunk in chunks)


@bidi_stream
async def double(chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
    async for chunk in chunks:
        yield {"n": 2 * chunk["n"]}


async def use() -> None:
    summary: Chunk = summarize("text", limit=3)
    text: str = await fetch("http://localhost")
    number: int = total(iter([summary]))
    load()
    await save()
    async for _ in tick(number):
        print(text)
    summarize(3)  # type: ignore[arg-type]
    train(epochs=1)  # type: ignore[call-arg]
    command(3)  # type: ignore[call-overload]
