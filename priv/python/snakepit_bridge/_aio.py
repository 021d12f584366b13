"""Runs async handlers: one event loop in a thread of its own, for all calls of a worker.

Imported only when the first async handler or hook runs, because asyncio is slow to import.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from ._exceptions import Cancelled
from ._final import Final

if TYPE_CHECKING:
    from ._context import Call
    from ._entry import Entry

Chunk = dict[str, Any]

#: The call that a task on the loop serves, also in the tasks that a handler starts.
current: ContextVar[Call | None] = ContextVar("snakepit_call", default=None)

#: After so many chunks in a row a stream lets other calls have their turn.
TURN = 64


class Sink(Protocol):
    """Where the results of one call go. All methods are called on the loop's thread.

    Each call ends with exactly one ``finish`` or ``fail``.
    """

    def send(self, chunk: Chunk) -> bool:
        """Takes a chunk, or returns False and takes nothing.

        Raises Cancelled if nobody wants the chunks any more.
        """

    def on_room(self, callback: Callable[[], None]) -> None:
        """Has the callback called once, from any thread, when ``send`` is worth another try."""

    def finish(self, value: Chunk | None) -> None:
        """Takes the result of a command, or the final chunk of a stream."""

    def fail(self, exc: BaseException) -> None:
        """Takes the exception that ended the call."""


class Source(Protocol):
    """Where the chunks of a client or bidi stream come from. Called on the loop's thread."""

    def take(self) -> Chunk | None:
        """The next chunk, or None if it is not there yet. Raises StopAsyncIteration at the end."""

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Has the callback called once, from any thread, when ``take`` is worth another try."""


class AsyncCall:
    """One running call: what ``submit`` returns and ``cancel`` takes."""

    __slots__ = ("_args", "_call", "_cancelled", "_entry", "_running", "_sink", "_source", "_task")

    def __init__(
        self, entry: Entry, args: Chunk, call: Call, sink: Sink, source: Source | None
    ) -> None:
        self._entry = entry
        self._args = args
        self._call = call
        self._sink = sink
        self._source = source
        self._task: asyncio.Task[None] | None = None
        self._running = False
        self._cancelled = False

    def start(self, calls: set[AsyncCall]) -> None:
        """Runs on the loop. ``calls`` keeps the call alive, for the loop itself does not."""
        calls.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._entry.name)
        self._task.add_done_callback(lambda _: calls.discard(self))

    def cancel(self) -> None:
        """Runs on the loop. A second time it does nothing, so that it cannot disturb a clean-up."""
        if self._cancelled:
            return
        self._cancelled = True
        # A task cancelled before its first step never runs, and would tell the sink nothing.
        if self._running and self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        self._running = True
        current.set(self._call)
        try:
            if self._cancelled:
                raise asyncio.CancelledError
            self._sink.finish(await self._drive())
        except BaseException as exc:
            self._sink.fail(exc)

    async def _drive(self) -> Chunk | None:
        chunks = () if self._source is None else (self._received(self._source),)
        produced = self._entry.invoke(self._args, self._call, *chunks)
        if self._entry.kind in ("command", "client_stream"):
            result: Chunk = await produced
            return result
        try:
            sent = 0
            async for chunk in produced:
                if type(chunk) is Final:
                    return chunk.chunk
                while not self._sink.send(chunk):
                    await _called_back(self._sink.on_room)
                sent += 1
                if sent % TURN == 0:
                    await asyncio.sleep(0)
            return None
        finally:
            # However it came to this, a cancellation from now on would only disturb the clean-up.
            self._cancelled = True
            await produced.aclose()

    async def _received(self, source: Source) -> AsyncIterator[Chunk]:
        while True:
            try:
                chunk = source.take()
            except StopAsyncIteration:
                return
            except Cancelled:
                # The handler hears of it here, and need not be told again.
                self._cancelled = True
                raise
            if chunk is None:
                await _called_back(source.on_ready)
            else:
                yield chunk


class AsyncRunner:
    """The loop and its thread, which start with the first call. Its methods are thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._calls: set[AsyncCall] = set()

    def submit(
        self, entry: Entry, args: Chunk, call: Call, sink: Sink, source: Source | None = None
    ) -> AsyncCall:
        """Runs an async handler and sends what it gives to the sink. Returns at once.

        ``source`` gives the chunks of a client or bidi stream. Argument errors go to ``sink.fail``
        too. Raises RuntimeError if the runner is closed.
        """
        handle = AsyncCall(entry, args, call, sink, source)
        self._running_loop().call_soon_threadsafe(handle.start, self._calls)
        return handle

    def cancel(self, handle: AsyncCall) -> None:
        """Raises CancelledError inside the handler. Does nothing if the call is over."""
        if self._loop is not None:
            _call_soon(self._loop, handle.cancel)

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Runs the awaitable on the loop, waits for it and returns what it gives."""

        async def wait() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wait(), self._running_loop()).result()

    def close(self, timeout: float = 5.0) -> None:
        """Cancels all calls, waits ``timeout`` seconds for them at most, and ends the thread."""
        with self._lock:
            thread, loop = self._thread, self._loop
        if thread is None or loop is None or loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut_down(timeout), loop)
        thread.join(timeout + 1.0)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            with self._lock:
                if self._loop is None:
                    loop = asyncio.new_event_loop()
                    # A daemon, so that a handler that never ends cannot keep the process alive.
                    self._thread = threading.Thread(
                        target=_run_loop, args=(loop,), name="snakepit-asyncio", daemon=True
                    )
                    self._thread.start()
                    self._loop = loop
        return self._loop

    async def _shut_down(self, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        for call in list(self._calls):
            call.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others - {call._task for call in self._calls}:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=timeout)
        await loop.shutdown_asyncgens()
        loop.stop()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:  # the loop is closed, and with it all that could wait for this
        if not loop.is_closed():
            raise


async def _called_back(register: Callable[[Callable[[], None]], None]) -> None:
    """Waits until the callback given to ``register`` is called, on whatever thread."""
    loop = asyncio.get_running_loop()
    called: asyncio.Future[None] = loop.create_future()

    def resolve() -> None:
        if not called.done():
            called.set_result(None)

    register(lambda: _call_soon(loop, resolve))
    await called
