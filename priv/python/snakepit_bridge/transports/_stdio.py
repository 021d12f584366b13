"""The stdio transports: calls come and go as frames on the standard input and output."""

from __future__ import annotations

import sys
from _thread import allocate_lock
from contextlib import suppress
from threading import Thread

from ._engine import Engine
from ._failure import Refused, detail_of, too_large
from ._frames import FrameReader, FrameWriter, FramingLost, JsonFormat, MsgpackFormat
from ._orders import set_log_level
from ._process import Process
from ._serving import Serving, current_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._dispatcher import Dispatcher
    from ._calls import Call
    from ._failure import Detail
    from ._frames import Format

#: What a frame may be larger than the values in it: the limit users set is on values.
FRAME_OVERHEAD = 64 * 1024

_MAX_ID = 2**64 - 1


class StdioTransport:
    """JSON or MessagePack over pipes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._format = _format(name)
        self._process = Process()
        self._fds = (0, 1)

    def claim_process(self, socket: str | None = None) -> None:
        self._fds = self._process.claim_frames()

    def tell_parent(self, json: str) -> None:
        self._process.tell_parent(json)

    def current_call(self) -> tuple[str, str] | None:
        return current_call()

    def set_log_level(self, name: str) -> None:
        pass  # what it has to say is no detail

    def serve(self, dispatcher: Dispatcher, config: dict[str, Any]) -> int:
        engine = Engine(dispatcher, self._process, config, self._name)
        serving = Serving(engine, self._process, config["shutdown_timeout_ms"] / 1000)
        reading = FrameReader(self._fds[0], engine.max_message_size + FRAME_OVERHEAD)
        desk = Desk(engine, self._format, FrameWriter(self._fds[1]))

        def read() -> None:
            try:
                frame = reading.read()
                while frame is not None:
                    desk.accept(frame)
                    frame = reading.read()
            except FramingLost as lost:
                print(f"snakepit: {lost}; the worker ends", file=sys.stderr, flush=True)
                serving.fail()

        Thread(target=read, name="snakepit-io", daemon=True).start()
        return serving.run(lambda _: None)


class Desk:
    """Takes frames in and sends the answers out."""

    def __init__(self, engine: Engine, format: Format, writer: FrameWriter) -> None:
        self._engine = engine
        self._format = format
        self._writer = writer
        self._lock = allocate_lock()
        # Who takes a call out of here answers it: its end, or its cancellation by silence.
        self._running: dict[int, Call] = {}

    def accept(self, frame: bytes) -> None:
        """Acts on a frame. Raises FramingLost if it is none."""
        try:
            message = self._format.read(frame)
        except (ValueError, Refused) as error:
            id = self._format.id_in(frame)
            if id is None:
                raise FramingLost(f"a frame cannot be read and has no id: {error}") from None
            return self._refuse(id, f"the frame cannot be read: {error}")
        id = message.get("id") if isinstance(message, dict) else None
        if type(id) is not int or not 0 <= id <= _MAX_ID:
            raise FramingLost("a frame without an id")
        kind = message.get("type", "call")
        if kind == "call":
            self._call(id, message)
        elif kind == "cancel":
            self._cancel(id)
        elif kind == "health":
            self._send(id, self._format.success(id, self._engine.health()))
        elif kind == "log_level":
            self._set_log_level(id, message.get("level"))
        else:
            self._refuse(id, f"a frame of unknown type {kind!r}")

    def _call(self, id: int, message: dict[str, Any]) -> None:
        problem = _problem_of(message)
        if problem:
            return self._refuse(id, problem)
        call = self._engine.calls.open(
            message["command"],
            request_id=message.get("request_id") or "",
            session_id=message.get("session_id") or "",
            metadata=message.get("metadata") or {},
            timeout_ms=message.get("timeout_ms") or 0,
        )
        with self._lock:
            taken = id in self._running
            if not taken:
                self._running[id] = call
        if taken:
            call.release()
            return self._refuse(id, f"a call of the id {id} runs already")
        args = message.get("args") or {}

        def encode(result: dict[str, Any]) -> bytes:
            encoded = self._format.success(id, result)
            if len(encoded) > self._engine.max_message_size + FRAME_OVERHEAD:
                raise too_large("result", len(encoded), self._engine.max_message_size)
            return encoded

        def reply(encoded: bytes | None, detail: Detail | None) -> None:
            with self._lock:
                wanted = self._running.pop(id, None)
            if wanted is None:
                return
            if encoded is not None:
                self._send(id, encoded)
            elif detail is not None:
                self._send(id, self._format.failure(id, detail))

        self._engine.unary(call, lambda: args, encode, reply)

    def _cancel(self, id: int) -> None:
        with self._lock:
            call = self._running.pop(id, None)
        if call is not None:
            call.cancel()

    def _set_log_level(self, id: int, name: object) -> None:
        if isinstance(name, str) and set_log_level(name):
            self._send(id, self._format.success(id, {}))
        else:
            self._refuse(id, f"there is no log level {name!r}")

    def _refuse(self, id: int, problem: str) -> None:
        detail = detail_of(Refused("protocol", problem), self._engine.dispatcher)
        self._send(id, self._format.failure(id, detail))

    def _send(self, id: int, message: bytes) -> None:
        limit = self._engine.max_message_size
        if len(message) > limit + FRAME_OVERHEAD:
            refused = too_large("reply", len(message), limit)
            message = self._format.failure(id, detail_of(refused, self._engine.dispatcher))
        with suppress(OSError):  # the parent has gone, which is noticed elsewhere
            self._writer.write(message)


def _problem_of(message: dict[str, Any]) -> str | None:
    """What is wrong with the frame of a call."""
    if not isinstance(message.get("command"), str):
        return "a call without a command"
    for name, types, what in _FIELDS:
        value = message.get(name)
        if value is not None and type(value) not in types:
            return f"{name} must be {what}, got {type(value).__name__}"
    if not all(isinstance(name, str) for name in message.get("args") or ()):
        return "the names of args must be strings"
    metadata = message.get("metadata") or {}
    if not all(isinstance(text, str) for item in metadata.items() for text in item):
        return "metadata must have strings as keys and values"
    return None


_FIELDS: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("args", (dict,), "a map"),
    ("request_id", (str,), "a string"),
    ("session_id", (str,), "a string"),
    ("metadata", (dict,), "a map"),
    ("timeout_ms", (int,), "an integer"),
)


def _format(name: str) -> Format:
    if name == "stdio-json":
        return JsonFormat()
    from . import _msgpack

    return MsgpackFormat(*_msgpack.load())
