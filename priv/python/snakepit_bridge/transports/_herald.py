"""Tells the parent things for those who must not wait."""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: So many events may wait to be written; of more, nothing is told.
MOST = 256


class Herald:
    """Writes control lines on a thread of its own, which starts with the first of them."""

    def __init__(self, tell_parent: Callable[[str], None]) -> None:
        self._tell_parent = tell_parent
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MOST)
        self._wake = allocate_lock()
        self._wake.acquire()
        self._lock = allocate_lock()
        self._thread: Thread | None = None

    def tell(self, event: dict[str, Any]) -> None:
        """Has an event written soon."""
        with self._lock:
            if len(self._waiting) == MOST:
                return
            self._waiting.append(event)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="snakepit-herald", daemon=True)
                self._thread.start()
            if self._wake.locked():
                self._wake.release()

    def _run(self) -> None:
        from json import dumps

        while True:
            self._wake.acquire()
            while self._waiting:
                self._tell_parent(dumps(self._waiting.popleft()))
