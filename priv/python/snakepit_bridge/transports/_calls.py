"""The calls of a worker, from their receipt to their last message."""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from threading import Thread
from time import monotonic

from .._progress import end_reports
from . import _inject
from ._timer import Timer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any

    from .._aio import AsyncCall, AsyncRunner
    from ._process import Process

#: A handler on a thread is given so long to come to its next ``yield``, or to look for its
#: cancellation itself, before Cancelled is raised in it where it stands.
POLITE_GRACE = 0.015

#: The grace time passes in so many steps. Between them Python code can run, if only that which
#: counts them: a handler that waits for the interpreter is not blamed for whoever holds it. (When
#: that is held for ever, the parent notices by the health checks.)
STEPS = 4

_WAITING, _ON_THREAD, _ON_LOOP, _OVER = range(4)


class Call:
    """One call: what its handler's context sees of it, and the one place where it is cancelled."""

    __slots__ = (
        "_began",
        "_calls",
        "_cancelled",
        "_cancelled_at",
        "_handle",
        "_holds",
        "_ident",
        "_interrupted",
        "_lock",
        "_reports_over",
        "_runner",
        "_state",
        "_stuck",
        "_told",
        "command",
        "deadline",
        "metadata",
        "request_id",
        "session_id",
        "worker_id",
    )

    def __init__(
        self,
        calls: Calls,
        command: str,
        *,
        request_id: str,
        session_id: str,
        metadata: dict[str, str],
        timeout_ms: int,
    ) -> None:
        self.command = command
        self.request_id = request_id
        self.session_id = session_id
        self.metadata = metadata
        self.worker_id = calls.worker_id
        self.deadline = monotonic() + timeout_ms / 1000 if timeout_ms > 0 else None
        self._calls = calls
        self._lock = allocate_lock()
        self._state = _WAITING
        self._ident = 0
        self._runner: AsyncRunner | None = None
        self._handle: AsyncCall | None = None
        self._began = False
        self._cancelled = False
        self._cancelled_at = 0.0
        # The handler knows that it is cancelled; from then on its clean-up is left in peace.
        self._told = False
        # It knows by an exception that was raised in it, wherever it stood.
        self._interrupted = False
        # It is cancelled and has not given its thread back.
        self._stuck = False
        self._holds = 1
        self._reports_over = False

    @property
    def cancelled(self) -> bool:
        """Whether the caller no longer waits. A handler that asks need not be interrupted."""
        if self._cancelled:
            self.tell()
        return self._cancelled

    @property
    def is_cancelled(self) -> bool:
        """The same, asked by others than the handler."""
        return self._cancelled

    def tell(self) -> None:
        """The handler hears of its cancellation, in a way of its own: nothing else is to tell it.

        Called on its thread, which may have been interrupted and not met the exception yet.
        """
        with self._lock:
            interrupted, self._told = self._told, True
            self._interrupted = False
            if interrupted and self._state == _ON_THREAD and self._ident == get_ident():
                _inject.clear(self._ident)

    def enter(self) -> bool:
        """The handler begins on the current thread. False when the call was cancelled before."""
        with self._lock:
            if self._cancelled:
                self._state = _OVER
                return False
            self._state = _ON_THREAD
            self._began = True
            self._ident = get_ident()
            return True

    def enter_loop(self, runner: AsyncRunner, handle: AsyncCall) -> None:
        """The handler has begun on the asyncio loop, and may be over already."""
        with self._lock:
            if self._state == _WAITING:
                self._state = _ON_LOOP
                self._began = True
                self._runner, self._handle = runner, handle
            cancelled = self._cancelled
        if cancelled:
            self._stop_after(0.0)

    def leave(self) -> None:
        """The handler has ended: no exception can reach its thread for this call any more.

        May itself be disturbed by Cancelled, once; a second call finishes what the first began.
        """
        with self._lock:
            self._state = _OVER
            self._runner = self._handle = None
            if self._stuck:
                _inject.clear(self._ident)
                self._stuck = False
                self._calls.stuck.discard(self)
            told, self._reports_over = self._reports_over, True
        if told:
            return
        end_reports(self.request_id, self.metadata)
        if self._cancelled and self._began:
            how = "raised" if self._interrupted else "yield" if self._told else "finished"
            self._calls.tell_soon(self.cancellation(how))

    def cancel(self) -> None:
        """Stops the call; its peer waits for nothing any more. Does not block."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            self._cancelled_at = monotonic()
            if self._state == _ON_THREAD:
                self._stuck = True
                self._calls.stuck.add(self)
                grace = POLITE_GRACE
            elif self._state == _ON_LOOP:
                grace = 0.0
            else:
                return
        self._calls.on_thread_given_up()
        self._stop_after(grace)

    def cancellation(self, how: str) -> dict[str, Any]:
        """What the parent hears: how long the handler took to end, and how it did."""
        return {
            "event": "cancelled",
            "request_id": self.request_id,
            "command": self.command,
            "us": int((monotonic() - self._cancelled_at) * 1_000_000),
            "how": how,
        }

    def hold(self) -> None:
        """Keeps the call among those that run, until a ``release`` more."""
        self._calls.hold(self)

    def release(self) -> None:
        """One of those who keep the call is done with it."""
        self._calls.release(self)

    def _stop_after(self, grace: float) -> None:
        """Interrupts the handler after ``grace`` seconds. One that goes on beyond the worker's own
        grace time costs the process: nothing else stops it."""
        if grace > 0:
            self._calls.timer.after(grace, self._interrupt)
        else:
            self._interrupt()

    def _interrupt(self) -> None:
        with self._lock:
            told, self._told = self._told, True
            self._interrupted = not told
        self._raise()
        self._await_end(STEPS)

    def _raise(self) -> None:
        with self._lock:
            if not self._interrupted:
                return
            if self._state == _ON_THREAD:
                # Under the lock: the thread cannot leave meanwhile.
                _inject.interrupt(self._ident)
            runner, handle = self._runner, self._handle
        if runner is not None and handle is not None:
            runner.cancel(handle)

    def _await_end(self, steps: int) -> None:
        if self._state not in (_ON_THREAD, _ON_LOOP):
            return
        if steps == 1:
            # It may never have met the exception: Python drops what is raised while it frees an
            # object, a socket for example.
            self._raise()
        if steps == 0:
            self._calls.give_up(self)
        else:
            pause = self._calls.cancel_grace / STEPS
            self._calls.timer.after(pause, lambda: self._await_end(steps - 1))


class Calls:
    """All calls of a worker."""

    def __init__(self, process: Process, worker_id: str, cancel_grace: float) -> None:
        self.worker_id = worker_id
        self.cancel_grace = cancel_grace
        self.timer = Timer()
        #: Cancelled calls that still hold a thread.
        self.stuck: set[Call] = set()
        #: Calls ever received.
        self.total = 0
        #: Called when the thread of a cancelled call stops to count.
        self.on_thread_given_up: Callable[[], None] = lambda: None
        self._process = process
        self._lock = allocate_lock()
        self._running: set[Call] = set()
        self._awaiting_idle: list[LockType] = []

    def open(self, command: str, **head: Any) -> Call:
        """A call has come in. It runs until as many have released it as hold it."""
        call = Call(self, command, **head)
        with self._lock:
            self.total += 1
            self._running.add(call)
        return call

    def hold(self, call: Call) -> None:
        with self._lock:
            call._holds += 1

    def release(self, call: Call) -> None:
        with self._lock:
            call._holds -= 1
            if call._holds > 0:
                return
            self._running.discard(call)
            if self._running:
                return
            waiting, self._awaiting_idle = self._awaiting_idle, []
        for waiter in waiting:
            waiter.release()

    @property
    def active(self) -> int:
        """How many calls run, or wait for a thread."""
        return len(self._running)

    def until_idle(self, timeout: float) -> bool:
        """Waits until no call is open; False when that takes longer."""
        waiter = allocate_lock()
        waiter.acquire()
        with self._lock:
            if not self._running:
                return True
            self._awaiting_idle.append(waiter)
        return waiter.acquire(timeout=timeout)

    def tell_soon(self, event: dict[str, Any]) -> None:
        """Tells the parent of a call, without waiting for it."""
        self._process.tell_soon(event)

    def cancel_all(self) -> None:
        with self._lock:
            running = list(self._running)
        for call in running:
            call.cancel()

    def give_up(self, call: Call) -> None:
        """Ends the process under a handler that does not end."""
        warning = (
            f"{call.command} went on for {round(self.cancel_grace * 1000)} ms after its"
            f" cancellation; worker {self.worker_id} ends, and is replaced"
        )

        def tell() -> None:
            self._process.tell(call.cancellation("killed"))
            self._process.warn(warning, call.request_id)

        # The parent may not read: that must not keep the process alive.
        telling = Thread(target=tell, daemon=True)
        telling.start()
        telling.join(0.5)
        self._process.end_group()
