"""Messages on their way from a handler to one stream."""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable
    from typing import Any

    from ._credit import Credit

#: So many messages wait here at most before HTTP/2 takes them ...
MAX_MESSAGES = 64
#: ... and so many bytes, or one message.
MAX_BYTES = 256 * 1024


class Outbox:
    """What makes a fast generator wait for a slow consumer.

    One thread puts messages in and one task of ``loop`` takes them out. The producer is woken when
    half the room is free again, so that it fills that in one go.
    """

    def __init__(self, loop: AbstractEventLoop, credit: Credit) -> None:
        self._loop = loop
        self._credit = credit
        self._lock = allocate_lock()
        self._messages: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._finished = False
        self._gone = False
        self._producer: LockType | None = None
        self._on_room: Callable[[], None] | None = None
        self._reader: Future[None] | None = None

    @property
    def gone(self) -> bool:
        """Whether the peer reads no more."""
        return self._gone

    def has_room(self) -> bool:
        """Whether there is room. It only grows until the next ``put``."""
        with self._lock:
            return not self._full()

    def put(self, chunk: Any, size: int) -> bool:
        """Takes a chunk on credit. False when the peer has gone."""
        with self._lock:
            self._credit.spend(size)
            return self._push(chunk, size)

    def put_aside(self, message: Any) -> bool:
        """Takes a message that needs no credit and no room, because there are few of its kind."""
        with self._lock:
            return self._push(message, 0)

    def acknowledge(self, chunks: int) -> None:
        """The peer is done with so many chunks more."""
        with self._lock:
            self._credit.acknowledge(chunks)
            callback = self._wake_producer()
        if callback is not None:
            callback()

    def wait_for_room(self) -> bool:
        """Blocks until there is room. False when the peer has gone."""
        producer = allocate_lock()
        producer.acquire()
        while True:
            with self._lock:
                if self._gone or self._half_empty():
                    return not self._gone
                self._producer = producer
            producer.acquire()

    def on_room(self, callback: Callable[[], None]) -> None:
        """Calls back once, when there is room or the peer has gone; at once if that is now."""
        with self._lock:
            if not self._gone and self._full():
                self._on_room = callback
                return
        callback()

    def finish(self) -> None:
        """No message follows: the stream ends when those within are read."""
        with self._lock:
            self._finished = True
            self._wake_reader()

    def abandon(self) -> None:
        """The peer reads no more."""
        with self._lock:
            self._gone = True
            self._messages.clear()
            callback = self._wake_producer()
        if callback is not None:
            callback()

    async def get(self) -> Any:
        """The next message; None after the last."""
        while True:
            with self._lock:
                if self._messages:
                    message, size = self._messages.popleft()
                    self._bytes -= size
                    callback = self._wake_producer()
                    break
                if self._finished:
                    return None
                reader = self._reader = self._loop.create_future()
            await reader
        if callback is not None:
            callback()
        return message

    # The lock is held in all of these.

    def _full(self) -> bool:
        crowded = len(self._messages) >= MAX_MESSAGES or self._bytes >= MAX_BYTES
        return crowded or not self._credit.available()

    def _half_empty(self) -> bool:
        roomy = len(self._messages) <= MAX_MESSAGES // 2 and self._bytes <= MAX_BYTES // 2
        return roomy and self._credit.available()

    def _push(self, message: Any, size: int) -> bool:
        if self._gone:
            return False
        self._messages.append((message, size))
        self._bytes += size
        self._wake_reader()
        return True

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody reads
                self._loop.call_soon_threadsafe(_resolve, reader)

    def _wake_producer(self) -> Callable[[], None] | None:
        if not self._gone and not self._half_empty():
            return None
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.release()
        callback, self._on_room = self._on_room, None
        return callback


def _resolve(waiter: Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
