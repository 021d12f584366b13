"""The service of the contract, on grpc.aio."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc

from ..grpc import snakepit_pb2 as pb
from ..grpc import snakepit_pb2_grpc as stubs
from . import _messages
from ._credit import Credit
from ._entries import codecs, decode, encode, size_of_entries
from ._failure import Refused, detail_of, too_large
from ._inbox import Inbox
from ._outbox import Outbox
from ._streams import StreamCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any

    from ._calls import Call
    from ._engine import Engine
    from ._entries import Codec, Entries
    from ._failure import Detail

    Context = grpc.aio.ServicerContext[Any, Any]

_SERVER_STREAM = 1

#: So long after the end of its input a call that was reset is cancelled at the latest.
RESET_BEHIND = 0.005


class Bridge(stubs.SnakepitBridgeServicer):
    """All methods but Lane, which would bring nothing to a server in Python."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._codecs = codecs()

    async def Execute(self, request: pb.ExecuteRequest, context: Context) -> pb.ExecuteResponse:
        return await self._unary(request, "", context)

    async def ExecuteInSession(
        self, request: pb.SessionRequest, context: Context
    ) -> pb.ExecuteResponse:
        return await self._unary(request, request.session_id, context)

    async def ExecuteStream(self, request: pb.ExecuteRequest, context: Context) -> None:
        await self._stream(request, "", context)

    async def ExecuteInSessionStream(self, request: pb.SessionRequest, context: Context) -> None:
        await self._stream(request, request.session_id, context)

    async def ExecuteBidiStream(
        self, requests: AsyncIterator[pb.StreamRequest], context: Context
    ) -> None:
        await self._exchange(context, context.write)

    async def ExecuteClientStream(
        self, requests: AsyncIterator[pb.StreamRequest], context: Context
    ) -> pb.ExecuteResponse:
        final = pb.StreamResponse()

        async def keep(message: pb.StreamResponse) -> None:
            if message.is_final:
                final.CopyFrom(message)

        await self._exchange(context, keep)
        return _messages.result_of(final)

    async def Health(self, request: pb.HealthRequest, context: Context) -> pb.HealthResponse:
        return pb.HealthResponse(**self._engine.health(), codecs=list(self._codecs), credit=True)

    async def _unary(
        self, request: pb.ExecuteRequest | pb.SessionRequest, session_id: str, context: Context
    ) -> pb.ExecuteResponse:
        codec = await self._codec(request.codec, context)
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[pb.ExecuteResponse] = loop.create_future()

        def encoded(result: dict[str, Any]) -> pb.ExecuteResponse:
            entries, size = encode(codec, result, "result")
            limit = self._engine.max_message_size
            if size > limit:
                raise too_large("result", size, limit)
            return _messages.success(entries, codec)

        def reply(response: pb.ExecuteResponse | None, detail: Detail | None) -> None:
            if response is None:
                stopped = Refused("cancelled", "the call was cancelled")
                detail = detail or detail_of(stopped, self._engine.dispatcher)
                response = _messages.failure(detail)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_resolve, answered, response)

        call = self._open(request, session_id, context)
        try:
            self._engine.unary(call, lambda: decode(codec, request.args), encoded, reply)
            return await answered
        finally:
            # However this came about: nobody waits any more.
            call.cancel()
            call.release()

    async def _stream(
        self, request: pb.ExecuteRequest | pb.SessionRequest, session_id: str, context: Context
    ) -> None:
        codec = await self._codec(request.codec, context)
        outbox = Outbox(asyncio.get_running_loop(), Credit(0, 0))
        call = self._open(request, session_id, context)
        try:
            stream = StreamCall(self._engine, call, codec, request.args, outbox)
            stream.start(_SERVER_STREAM)
            while (message := await outbox.get()) is not None:
                await context.write(message)
        finally:
            outbox.abandon()
            call.cancel()
            call.release()

    async def _exchange(
        self, context: Context, write: Callable[[pb.StreamResponse], Awaitable[None]]
    ) -> None:
        """A stream whose caller sends messages of its own, the first of which is the start."""
        first = await context.read()
        if first is grpc.aio.EOF or first.WhichOneof("message") != "start":
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "the first message of a stream is its start"
            )
        start = first.start
        codec = await self._codec(start.codec, context)
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop, Credit(start.window, start.max_buffer))
        inbox = Inbox(
            loop,
            start.window,
            start.max_buffer,
            lambda chunks: outbox.put_aside(_messages.ack(chunks)),
        )
        call = self._open(start, start.session_id, context)
        reading = loop.create_task(_read(context, start.window > 0, outbox, inbox, call))
        try:
            stream = StreamCall(self._engine, call, codec, start.args, outbox, inbox)
            stream.start(start.shape)
            while (message := await outbox.get()) is not None:
                await write(message)
        finally:
            reading.cancel()
            outbox.abandon()
            inbox.abandon()
            call.cancel()
            call.release()

    async def _codec(self, number: pb.Codec, context: Context) -> Codec:
        codec = self._codecs.get(number)
        if codec is None:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"this worker does not know the codec {number}"
            )
        return codec

    def _open(
        self,
        request: pb.ExecuteRequest | pb.SessionRequest | pb.StreamStart,
        session_id: str,
        context: Context,
    ) -> Call:
        """A call that is held by its handler and by its RPC."""
        limit = request.timeout_ms or int((context.time_remaining() or 0) * 1000)
        call = self._engine.calls.open(
            request.command,
            request_id=request.request_id,
            session_id=session_id,
            metadata=dict(request.metadata),
            timeout_ms=limit,
        )
        call.hold()
        return call


async def _read(
    context: Context, keeps_credit: bool, outbox: Outbox, inbox: Inbox, call: Call
) -> None:
    """Reads what the caller sends until its input ends, or it has gone."""
    if not await _read_to_the_end(context, keeps_credit, outbox, inbox):
        inbox.abandon()
        call.cancel()


async def _read_to_the_end(
    context: Context, keeps_credit: bool, outbox: Outbox, inbox: Inbox
) -> bool:
    """Whether the input came to a proper end."""
    complete = not keeps_credit
    while (message := await context.read()) is not grpc.aio.EOF:
        kind = message.WhichOneof("message")
        if kind == "chunk":
            await inbox.room()
            entries: Entries = message.chunk.chunk
            if not inbox.put(entries, size_of_entries(entries)):
                return False  # more chunks than the window
        elif kind == "ack":
            outbox.acknowledge(message.ack)
        elif kind == "half_close":
            complete = True
            inbox.complete()
        elif kind == "abort":
            complete = True
            inbox.fail(message.abort)
        else:
            return False  # a second start, or an empty message
    # A caller that is killed ends its side too, and a handler must not take that for the end of
    # its input: who keeps credit says when the input is complete.
    if complete:
        # Nor may it take a reset for that, which reads as an end too; the cancellation of this
        # task is only a few events behind.
        await asyncio.sleep(RESET_BEHIND)
        inbox.complete()
    return complete


def _resolve(answered: asyncio.Future[Any], response: Any) -> None:
    if not answered.done():
        answered.set_result(response)
