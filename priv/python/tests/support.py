"""What the tests share."""

from __future__ import annotations

import threading
from queue import Queue
from types import SimpleNamespace
from typing import Any

from snakepit_bridge import Cancelled

LIMIT = 10.0  # seconds until a test that waits in vain fails


def make_call(**attributes: Any) -> Any:
    """What a transport passes to a handler's entry."""
    known = {
        "command": "test",
        "request_id": "request-1",
        "session_id": "",
        "metadata": {},
        "worker_id": "worker-1",
        "deadline": None,
        "cancelled": False,
    }
    return SimpleNamespace(**{**known, **attributes})


def read_all(stream: Any) -> tuple[list[Any], Any]:
    """The chunks of a handler's stream, and its final chunk."""
    chunks = []
    while True:
        try:
            chunks.append(next(stream))
        except StopIteration as stop:
            return chunks, stop.value


class FakeSink:
    """Keeps what it is given. With ``room`` it takes that many chunks, until ``give`` is called."""

    def __init__(self, room=10**9):
        self.chunks = []
        self.refused = threading.Semaphore(0)
        self.ends = Queue()
        self.gone = False
        self.finish_raises = None
        self._room = room
        self._waiting = None
        self._lock = threading.Lock()

    def send(self, chunk):
        with self._lock:
            if self.gone:
                raise Cancelled
            if self._room == 0:
                self.refused.release()
                return False
            self._room -= 1
            self.chunks.append(chunk)
            return True

    def on_room(self, callback):
        with self._lock:
            if self._room == 0 and not self.gone:
                self._waiting, callback = callback, None
        if callback:
            callback()

    def finish(self, value):
        if self.finish_raises:
            raise self.finish_raises
        self.ends.put(("finish", value))

    def fail(self, exc):
        self.ends.put(("fail", exc))

    def give(self, room):
        with self._lock:
            self._room += room
            callback, self._waiting = self._waiting, None
        if callback:
            callback()

    def leave(self):
        self.gone = True
        self.give(0)

    def await_refusal(self):
        assert self.refused.acquire(timeout=LIMIT)

    def end(self):
        return self.ends.get(timeout=LIMIT)

    def result(self):
        how, value = self.end()
        assert how == "finish", value
        return value

    def error(self):
        how, exc = self.end()
        assert how == "fail", exc
        return exc


class FakeSource:
    """Gives the chunks that ``put`` brings, and ends with ``end``."""

    def __init__(self):
        self._chunks = Queue()
        self._waiting = None
        self._lock = threading.Lock()

    def take(self):
        with self._lock:
            if self._chunks.empty():
                return None
            chunk = self._chunks.get_nowait()
        if chunk is StopAsyncIteration:
            raise StopAsyncIteration
        return chunk

    def on_ready(self, callback):
        with self._lock:
            if self._chunks.empty():
                self._waiting, callback = callback, None
        if callback:
            callback()

    def put(self, chunk):
        with self._lock:
            self._chunks.put(chunk)
            callback, self._waiting = self._waiting, None
        if callback:
            callback()

    def end(self):
        self.put(StopAsyncIteration)
