"""Chunks on their way from the caller to a handler."""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from contextlib import suppress

from .._exceptions import Cancelled, InputFailed
from ._failure import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable, Iterator
    from typing import Any

    from ._calls import Call

    Chunk = dict[str, Any]

#: Without credit at most so many chunks are read ahead of the handler ...
READ_AHEAD = 16
#: ... and so many bytes, or one chunk.
READ_AHEAD_BYTES = 1024 * 1024


class Complete(Exception):
    """The caller's input is at its end."""


class Gone(Exception):
    """The caller has gone."""


class Inbox:
    """With credit the caller never sends more than the window, and everything it sends is taken at
    once: acknowledgements for the other direction come by the same stream and must not wait behind
    chunks. Without credit the reader waits for ``room``, which closes the HTTP/2 window.

    ``acknowledge`` is called with the number of chunks consumed.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        window: int,
        max_buffer: int,
        acknowledge: Callable[[int], object],
    ) -> None:
        self._loop = loop
        self._window = window
        self._max_buffer = max_buffer
        self._acknowledge = acknowledge
        self._lock = allocate_lock()
        self._chunks: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._end: Exception | None = None
        self._unacknowledged = 0
        self._unacknowledged_bytes = 0
        # A handler may read on several threads, and all of them are to hear of the end.
        self._handlers: list[LockType] = []
        self._on_ready: Callable[[], None] | None = None
        self._reader: Future[None] | None = None

    def put(self, chunk: Any, size: int) -> bool:
        """Takes a chunk from the caller. False when it exceeds the credit it was given."""
        with self._lock:
            if self._window and len(self._chunks) >= self._window:
                return False
            self._chunks.append((chunk, size))
            self._bytes += size
            callback = self._wake_handler()
        if callback is not None:
            callback()
        return True

    def complete(self) -> None:
        """The caller's input is complete."""
        self._finish(Complete())

    def fail(self, reason: str) -> None:
        """The caller's input ended with an error."""
        self._finish(InputFailed(reason))

    def abandon(self) -> None:
        """The caller has gone: what it sent is of no use any more."""
        with self._lock:
            self._chunks.clear()
            self._end = Gone()
            callback = self._wake_handler()
        if callback is not None:
            callback()

    async def room(self) -> None:
        """Waits until the handler has taken enough to read more. Only without credit."""
        while True:
            with self._lock:
                full = len(self._chunks) >= READ_AHEAD or self._bytes >= READ_AHEAD_BYTES
                if self._window or not full or self._end is not None:
                    return
                reader = self._reader = self._loop.create_future()
            await reader

    def take(self) -> Any:
        """The next chunk, None if it is not there yet. Raises what the input ended with."""
        with self._lock:
            if self._chunks:
                chunk, size = self._chunks.popleft()
                self._bytes -= size
                self._unacknowledged += 1
                self._unacknowledged_bytes += size
            elif self._end is not None:
                raise self._end
            else:
                chunk = None
            acknowledged = self._due()
            reader, self._reader = self._reader, None
        if acknowledged:
            self._acknowledge(acknowledged)
        if reader is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody reads
                self._loop.call_soon_threadsafe(_resolve, reader)
        return chunk

    def wait(self) -> None:
        """Blocks until ``take`` is worth another try."""
        handler = allocate_lock()
        handler.acquire()
        while True:
            with self._lock:
                if self._chunks or self._end is not None:
                    return
                self._handlers.append(handler)
            handler.acquire()

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Calls back once, from any thread, when ``take`` is worth another try."""
        with self._lock:
            if not self._chunks and self._end is None:
                self._on_ready = callback
                return
        callback()

    def _finish(self, end: Exception) -> None:
        with self._lock:
            if self._end is not None:
                return
            self._end = end
            callback = self._wake_handler()
        if callback is not None:
            callback()

    def _due(self) -> int:
        """How many chunks are to be acknowledged now.

        In halves of the window, so that the caller fills one while the other is consumed; and
        before waiting, as it may be the other limit that holds the caller up.
        """
        if not self._window or not self._unacknowledged:
            return 0
        due = (
            self._unacknowledged * 2 >= self._window
            or self._unacknowledged_bytes * 2 >= self._max_buffer
            or not self._chunks
        )
        if not due:
            return 0
        self._unacknowledged_bytes = 0
        acknowledged, self._unacknowledged = self._unacknowledged, 0
        return acknowledged

    def _wake_handler(self) -> Callable[[], None] | None:
        handlers, self._handlers = self._handlers, []
        for handler in handlers:
            handler.release()
        callback, self._on_ready = self._on_ready, None
        return callback


class Chunks:
    """The caller's chunks as a handler sees them: an iterator of dicts for a sync handler, and a
    source for the asyncio loop."""

    def __init__(self, inbox: Inbox, call: Call, decode: Callable[[Any], Chunk]) -> None:
        self._inbox = inbox
        self._call = call
        self._decode = decode

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        try:
            while True:
                chunk = self._take()
                if chunk is not None:
                    return chunk
                self._inbox.wait()
        except Complete:
            raise StopIteration from None

    def take(self) -> Chunk | None:
        """The next chunk, or None if it is not there yet. Raises StopAsyncIteration at the end."""
        try:
            return self._take()
        except Complete:
            raise StopAsyncIteration from None

    def on_ready(self, callback: Callable[[], None]) -> None:
        self._inbox.on_ready(callback)

    def _take(self) -> Chunk | None:
        try:
            chunk = self._inbox.take()
        except Gone:
            # The handler hears by this that its caller has gone, and cleans up.
            self._call.tell()
            raise Cancelled("the caller has gone") from None
        if chunk is None:
            return None
        try:
            return self._decode(chunk)
        except Refused as error:
            raise InputFailed(str(error)) from None


def _resolve(waiter: Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
