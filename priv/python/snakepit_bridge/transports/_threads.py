"""Persistent threads that run handlers."""

from __future__ import annotations

import sys
from _thread import allocate_lock, get_ident
from collections import deque
from threading import Thread
from time import monotonic

from .._exceptions import Cancelled
from .._traceback import traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from typing import Protocol

    from ._calls import Call, Calls

    class Job(Protocol):
        """One call's work. Cancelled may strike anywhere in it."""

        call: Call

        def run(self) -> None: ...

        def close(self) -> None:
            """Called after ``run``, however that ended: gives what answer it did not give."""


#: Calls that wait for a thread; beyond that the worker says that it is busy.
MAX_QUEUE = 4096

#: The calls that threads run, by the ident of the thread.
running: dict[int, Call] = {}


class Threads:
    """Threads that live on from call to call, so that thread-locals do.

    They are started as calls need them, up to ``capacity`` and one more for each cancelled call
    that has not given its thread back. With capacity 0 there are only those that call ``run``.

    The locks are plain ones: unlike a Condition, these cannot be left locked by an exception that
    is raised in a thread from outside.
    """

    def __init__(self, capacity: int, calls: Calls) -> None:
        self._capacity = capacity
        self._calls = calls
        self._lock = allocate_lock()
        self._queue: deque[Job] = deque()
        # Of threads without a job: the last to become idle is the first to be woken.
        self._idle: list[LockType] = []
        # Started or woken, and not yet at the queue.
        self._coming = 0
        self._count = 0
        self._number = 0
        self._stopping = False
        self._threads: list[Thread] = []

    def submit(self, job: Job) -> bool:
        """Queues a job. False when the queue is full."""
        with self._lock:
            if len(self._queue) >= MAX_QUEUE or self._stopping:
                return False
            self._queue.append(job)
            self._engage()
            return True

    def thread_given_up(self) -> None:
        """The thread of a cancelled call stops to count: another may run what waits for it."""
        with self._lock:
            if self._queue:
                self._engage()

    def run(self) -> None:
        """Runs jobs on the current thread until ``stop``."""
        wake = allocate_lock()
        wake.acquire()
        job: Job | None = None
        ident = get_ident()
        while True:
            try:
                if job is not None:
                    job.call.leave()
                    running.pop(ident, None)
                    job.close()
                job = None
                job = self._next(wake)
                if job is None:
                    return
                running[ident] = job.call
                job.run()
            except Cancelled:
                pass  # it struck in what stands around the handler
            except BaseException as exc:  # a failure of ours must not cost the thread
                print(f"snakepit: a call failed:\n{traceback_of(exc)}", file=sys.stderr, end="")

    def stop(self) -> None:
        """Ends the threads, each after the call it is at. What waits does not run."""
        with self._lock:
            self._stopping = True
            waiting, self._queue = self._queue, deque()
            idle, self._idle = self._idle, []
            self._coming += len(idle)
        for wake in idle:
            wake.release()
        for job in waiting:
            job.call.leave()
            job.close()

    def join(self, timeout: float) -> bool:
        """Waits until every thread has ended; False when that takes longer."""
        end = monotonic() + timeout
        for thread in list(self._threads):
            thread.join(max(0.0, end - monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _engage(self) -> None:
        """Wakes or starts a thread for what waits."""
        # One that comes already is good for one job, not for two.
        if len(self._queue) <= self._coming:
            return
        if self._idle:
            self._coming += 1
            self._idle.pop().release()
        elif self._count < self._limit():
            self._start_thread()

    def _limit(self) -> int:
        return self._capacity + len(self._calls.stuck) if self._capacity else 0

    def _start_thread(self) -> None:
        self._number += 1
        name = f"snakepit-handler-{self._number}"
        # A daemon, so that a handler that never ends cannot keep the process alive.
        thread = Thread(target=self._begin, name=name, daemon=True)
        self._coming += 1
        self._count += 1
        try:
            thread.start()
        except RuntimeError:  # then the job waits for one of the others
            self._coming -= 1
            self._count -= 1
            return
        self._threads = [one for one in self._threads if one.is_alive()]
        self._threads.append(thread)

    def _begin(self) -> None:
        with self._lock:
            self._coming -= 1
        self.run()

    def _next(self, wake: LockType) -> Job | None:
        while True:
            with self._lock:
                if self._queue:
                    return self._queue.popleft()
                if self._stopping or (self._capacity and self._count > self._limit()):
                    # Not needed any more, now that a cancelled call has given its thread back.
                    self._count -= 1
                    return None
                self._idle.append(wake)
            wake.acquire()
            with self._lock:
                self._coming -= 1


def current_call() -> tuple[str, str] | None:
    """The id and the command of the call that the current thread runs; None elsewhere, and on the
    asyncio loop."""
    call = running.get(get_ident())
    return None if call is None else (call.request_id, call.command)
