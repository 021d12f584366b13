"""Runs the calls that a transport receives."""

from __future__ import annotations

import sys
from time import monotonic

from ._calls import Calls
from ._failure import Refused, detail_of, wrong_kind
from ._threads import Threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._dispatcher import Dispatcher
    from .._entry import Entry
    from ._calls import Call
    from ._failure import Detail
    from ._process import Process
    from ._threads import Job

    #: Gives the arguments of a call; may raise what is wrong with them.
    Arguments = Callable[[], dict[str, Any]]
    #: Makes a message of a result; may raise what is wrong with that.
    Encode = Callable[[dict[str, Any]], Any]
    #: Takes the encoded result, or what went wrong. Called once; never with a lock held.
    Reply = Callable[[Any, "Detail | None"], None]


class Engine:
    """What the parts of a worker share, and the way in for unary calls."""

    def __init__(
        self, dispatcher: Dispatcher, process: Process, config: dict[str, Any], transport: str
    ) -> None:
        self.dispatcher = dispatcher
        self.transport = transport
        self.max_message_size: int = config["max_message_size"]
        self.calls = Calls(process, config["worker_id"], config["cancel_grace_ms"] / 1000)
        self.threads = Threads(config["capacity"], self.calls)
        self.main_thread = Threads(0, self.calls)
        self.calls.on_thread_given_up = self.threads.thread_given_up
        self.draining = False
        self._started = monotonic()
        # The reader of calls is not to wait for what finding a handler evaluates.
        for name in dispatcher.commands():
            dispatcher.find(name)

    def unary(self, call: Call, arguments: Arguments, encode: Encode, reply: Reply) -> None:
        """Runs a command. The call's hold is released once it is answered, which it is unless it
        is cancelled before."""
        job = UnaryCall(self, call, arguments, encode, reply)
        try:
            entry = self.dispatcher.find(call.command)
            if entry.kind != "command":
                raise wrong_kind(call.command, entry.kind)
            job.start(entry.for_call(call))
        except BaseException as exc:
            job.fail(exc)

    def submit(self, entry: Entry, job: Job) -> None:
        """Queues what runs the entry. Raises Refused."""
        if self.draining:
            raise Refused("draining", "the worker is stopping")
        threads = self.main_thread if entry.main_thread else self.threads
        if not threads.submit(job):
            raise Refused("busy", "too many calls wait for a thread of this worker")

    def health(self) -> dict[str, Any]:
        """What the worker says of itself, by the names of the contract's HealthResponse."""
        from .. import __version__

        return {
            "healthy": not self.draining,
            "worker_id": self.calls.worker_id,
            "uptime_ms": int((monotonic() - self._started) * 1000),
            "active_requests": self.calls.active,
            "total_requests": self.calls.total,
            "python_version": ".".join(map(str, sys.version_info[:3])),
            "bridge_version": __version__,
            "transport": self.transport,
            "rss_bytes": _resident_bytes(),
            "commands": self.dispatcher.commands(),
        }

    def drain(self, timeout: float) -> None:
        """Takes no more calls and lets those that run finish, for so many seconds at most."""
        self.draining = True
        self.calls.until_idle(timeout)

    def stop(self) -> None:
        """Ends the threads; the main thread returns to whoever serves."""
        self.threads.stop()
        self.main_thread.stop()


class UnaryCall:
    """A command at work; what the asyncio loop and the threads ask of it."""

    __slots__ = ("_arguments", "_encode", "_engine", "_entry", "_reply", "call")

    def __init__(
        self, engine: Engine, call: Call, arguments: Arguments, encode: Encode, reply: Reply
    ) -> None:
        self.call = call
        self._engine = engine
        self._entry: Entry | None = None
        self._arguments = arguments
        self._encode = encode
        self._reply: Reply | None = reply

    def start(self, entry: Entry) -> None:
        self._entry = entry
        if not entry.is_async:
            self._engine.submit(entry, self)
            return
        if self._engine.draining:
            raise Refused("draining", "the worker is stopping")
        runner = self._engine.dispatcher.async_runner()
        self.call.enter_loop(runner, runner.submit(entry, self._arguments(), self.call, self))

    def run(self) -> None:
        entry = self._entry
        if entry is None or not self.call.enter():
            return
        try:
            # The handler counts as running until its result is encoded: that runs its code too,
            # and may be interrupted like it.
            encoded = self._encode(entry.invoke(self._arguments(), self.call))
        except BaseException as exc:
            self.fail(exc)
        else:
            self.call.leave()
            self._answer(encoded, None)

    def close(self) -> None:
        if self._reply is not None:
            self.fail(Refused("protocol", "the worker failed on this call"))

    # The rest is what the asyncio loop asks of a sink.

    def send(self, chunk: dict[str, Any]) -> bool:
        raise TypeError("a command sends no chunks")

    def on_room(self, callback: Callable[[], None]) -> None:
        callback()

    def finish(self, value: dict[str, Any] | None) -> None:
        try:
            encoded = self._encode(value or {})
        except BaseException as exc:
            self.fail(exc)
        else:
            self.call.leave()
            self._answer(encoded, None)

    def fail(self, exc: BaseException) -> None:
        # Nobody reads what becomes of a cancelled call.
        cancelled = self.call.is_cancelled
        detail = None if cancelled else detail_of(exc, self._engine.dispatcher)
        self.call.leave()
        self._answer(None, detail)

    def _answer(self, encoded: Any, detail: Detail | None) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            try:
                reply(encoded, detail)
            finally:
                self.call.release()


def _resident_bytes() -> int:
    """From /proc, in pages; 0 where there is none."""
    try:
        with open("/proc/self/statm", "rb") as file:
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096
