"""The messages of the contract that a worker sends."""

from __future__ import annotations

from time import time_ns

from ..grpc import snakepit_pb2 as pb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._entries import Codec, Entries
    from ._failure import Detail


def success(entries: Entries, codec: Codec) -> pb.ExecuteResponse:
    return pb.ExecuteResponse(success=True, result=entries, timestamp=time_ns(), codec=codec.number)


def failure(detail: Detail) -> pb.ExecuteResponse:
    return pb.ExecuteResponse(
        error=detail["message"], timestamp=time_ns(), detail=pb.ErrorDetail(**detail)
    )


def chunk(entries: Entries, codec: Codec, is_final: bool = False) -> pb.StreamResponse:
    return pb.StreamResponse(
        is_final=is_final, chunk=entries, timestamp=time_ns(), codec=codec.number
    )


def error_chunk(detail: Detail) -> pb.StreamResponse:
    return pb.StreamResponse(
        is_final=True,
        error=detail["message"],
        timestamp=time_ns(),
        detail=pb.ErrorDetail(**detail),
    )


def ack(chunks: int) -> pb.StreamResponse:
    """Tells the caller that so many more of its chunks were consumed."""
    return pb.StreamResponse(ack=chunks)


def result_of(final: pb.StreamResponse) -> pb.ExecuteResponse:
    """The final chunk of a client stream as the response of a unary call."""
    failed = bool(final.error) or final.HasField("detail")
    return pb.ExecuteResponse(
        success=not failed,
        result=final.chunk,
        error=final.error,
        timestamp=final.timestamp,
        codec=final.codec,
        detail=final.detail if failed else None,
    )
