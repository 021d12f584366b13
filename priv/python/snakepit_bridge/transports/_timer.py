"""Calls functions later, on one thread that starts with the first of them."""

from __future__ import annotations

import heapq
from _thread import allocate_lock
from threading import Thread
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """The functions run on the timer's thread and must not block."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._wake = allocate_lock()
        self._wake.acquire()
        self._thread: Thread | None = None

    def after(self, seconds: float, function: Callable[[], None]) -> None:
        """Calls the function once, after so long."""
        with self._lock:
            self._count += 1
            entry = (monotonic() + seconds, self._count, function)
            heapq.heappush(self._waiting, entry)
            first = self._waiting[0] is entry
            if self._thread is None:
                self._thread = Thread(target=self._run, name="snakepit-timer", daemon=True)
                self._thread.start()
            if first and self._wake.locked():
                self._wake.release()

    def _run(self) -> None:
        while True:
            function = self._next()
            if function is not None:
                function()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if not self._waiting:
                patience = -1.0
            else:
                patience = self._waiting[0][0] - monotonic()
                if patience <= 0:
                    return heapq.heappop(self._waiting)[2]
        self._wake.acquire(timeout=patience)
        return None
