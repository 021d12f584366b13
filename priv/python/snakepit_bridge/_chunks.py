"""What handlers yield and return, made into the dicts that go over the wire."""

from __future__ import annotations

from ._final import Final

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Generator
    from typing import Any

    Chunk = dict[str, Any]


def as_chunk(value: Any) -> Chunk:
    """A dict as it is, any other value as ``{"result": value}``."""
    return value if isinstance(value, dict) else {"result": value}


async def awaited(result: Awaitable[Any]) -> Chunk:
    """The result of an async command."""
    return as_chunk(await result)


def chunks(produced: Any) -> Generator[Chunk, None, Chunk | None]:
    """Yields the chunks of a stream and returns its final one, or None."""
    step, close = _iteration(produced)
    try:
        while True:
            chunk = step()
            if type(chunk) is Final:
                return chunk.chunk
            yield chunk if isinstance(chunk, dict) else {"result": chunk}
    except StopIteration as stop:
        return None if stop.value is None else as_chunk(stop.value)
    finally:
        # Not left to the reference count: the frame of an exception may hold the generator.
        if close is not None:
            close()


async def async_chunks(produced: AsyncIterable[Any]) -> AsyncIterator[Chunk | Final]:
    """Yields the chunks of an async stream, a Final as it is."""
    if not hasattr(produced, "__aiter__"):
        raise TypeError(f"a stream must yield chunks, got {type(produced).__name__}")
    iterator = produced.__aiter__()
    try:
        async for chunk in iterator:
            yield chunk if isinstance(chunk, (dict, Final)) else {"result": chunk}
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


def _iteration(produced: Any) -> tuple[Any, Any]:
    """How to get the next chunk, and how to end before the last one."""
    if isinstance(produced, (dict, str, bytes)) or not hasattr(produced, "__iter__"):
        raise TypeError(f"a stream must yield chunks, got {type(produced).__name__}")
    iterator = iter(produced)
    return iterator.__next__, getattr(iterator, "close", None)
