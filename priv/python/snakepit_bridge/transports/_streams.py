"""Runs the handlers of streams."""

from __future__ import annotations

from .._exceptions import Cancelled
from . import _messages
from ._entries import decode, encode
from ._failure import Refused, detail_of, too_large, wrong_kind
from ._inbox import Chunks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from .._entry import Entry
    from ..grpc import snakepit_pb2 as pb
    from ._calls import Call
    from ._engine import Engine
    from ._entries import Codec, Entries
    from ._inbox import Inbox
    from ._outbox import Outbox

    Chunk = dict[str, Any]

#: The kind of handler that a caller expects, by the number of the contract's StreamShape.
KINDS = {1: "stream", 2: "client_stream", 3: "bidi_stream"}


class StreamCall:
    """A stream at work: what carries the chunks of a handler into its outbox."""

    def __init__(
        self,
        engine: Engine,
        call: Call,
        codec: Codec,
        args: Entries,
        outbox: Outbox,
        inbox: Inbox | None = None,
    ) -> None:
        self.call = call
        self._engine = engine
        self._codec = codec
        self._args = args
        self._outbox = outbox
        self._inbox = inbox
        self._entry: Entry | None = None
        self._ended = False

    def start(self, shape: int) -> None:
        """Queues the handler, or begins it on the asyncio loop."""
        try:
            entry = self._engine.dispatcher.find(self.call.command)
            if entry.kind == "command" or entry.kind != KINDS.get(shape, entry.kind):
                raise wrong_kind(self.call.command, entry.kind)
            entry = self._entry = entry.for_call(self.call)
            if entry.is_async:
                self._begin(entry)
            else:
                self._engine.submit(entry, self)
        except BaseException as exc:
            self.fail(exc)

    def run(self) -> None:
        entry = self._entry
        if entry is None or not self.call.enter():
            return
        try:
            produced = entry.invoke(self._arguments(), self.call, *self._chunks(entry))
            result = produced if entry.kind == "client_stream" else self._drain(produced)
            last = self._last(result)
        except BaseException as exc:
            self.fail(exc)
        else:
            self._end(last)

    def close(self) -> None:
        if not self._ended:
            self.fail(Refused("protocol", "the worker failed on this stream"))

    def fail(self, exc: BaseException) -> None:
        self._end(_messages.error_chunk(detail_of(exc, self._engine.dispatcher)))

    # The next three are, with `fail`, what the asyncio loop asks of a sink.

    def send(self, chunk: Chunk) -> bool:
        if self._ended or self._outbox.gone:
            self.call.tell()
            raise Cancelled("the caller has gone")
        if not self._outbox.has_room():
            return False
        try:
            message, size = self._encode(chunk)
        except BaseException as exc:
            # The stream ends here, with this error; the handler is told to stop.
            self.fail(exc)
            raise Cancelled("a chunk cannot be sent") from None
        self._outbox.put(message, size)
        return True

    def on_room(self, callback: Callable[[], None]) -> None:
        self._outbox.on_room(callback)

    def finish(self, value: Chunk | None) -> None:
        try:
            last = self._last(value)
        except BaseException as exc:
            self.fail(exc)
        else:
            self._end(last)

    def _begin(self, entry: Entry) -> None:
        if self._engine.draining:
            raise Refused("draining", "the worker is stopping")
        runner = self._engine.dispatcher.async_runner()
        task = runner.submit(entry, self._arguments(), self.call, self, *self._chunks(entry))
        self.call.enter_loop(runner, task)

    def _arguments(self) -> Chunk:
        return decode(self._codec, self._args)

    def _chunks(self, entry: Entry) -> tuple[Chunks, ...]:
        if entry.kind == "stream" or self._inbox is None:
            return ()
        codec = self._codec
        return (Chunks(self._inbox, self.call, lambda chunk: decode(codec, chunk, "chunk")),)

    def _drain(self, produced: Generator[Chunk, None, Chunk | None]) -> Chunk | None:
        """Takes chunk after chunk from the generator, as fast as the peer makes room."""
        outbox = self._outbox
        complete = False
        try:
            while True:
                try:
                    chunk = next(produced)
                except StopIteration as stop:
                    complete = True
                    final: Chunk | None = stop.value
                    return final
                message, size = self._encode(chunk)
                room = outbox.has_room() or outbox.wait_for_room()
                if not room or not outbox.put(message, size) or self.call.is_cancelled:
                    return None
        finally:
            try:
                if not complete:
                    # GeneratorExit at the yield, so that `finally` runs, and nothing disturbs it.
                    self.call.tell()
            finally:
                produced.close()

    def _encode(self, chunk: Chunk, is_final: bool = False) -> tuple[pb.StreamResponse, int]:
        entries, size = encode(self._codec, chunk, "chunk")
        limit = self._engine.max_message_size
        if size > limit:
            raise too_large("chunk", size, limit)
        return _messages.chunk(entries, self._codec, is_final), size

    def _last(self, value: Chunk | None) -> pb.StreamResponse:
        return self._encode({} if value is None else value, is_final=True)[0]

    def _end(self, last: pb.StreamResponse) -> None:
        """Sends the final chunk, or the error, and ends the stream; the first time."""
        self.call.leave()
        if not self._ended:
            self._ended = True
            self._outbox.put_aside(last)
            self._outbox.finish()
            self.call.release()
