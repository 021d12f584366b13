"""The ways in which calls reach a worker.

``native`` is written in Rust (``snakepit_bridge._native``). The others are here, in Python alone:
``stdio-json`` and ``stdio-msgpack`` over pipes, ``grpcio`` over gRPC. They share an engine, which
runs handlers as the native transport does: on persistent threads, on one asyncio loop or on the
main thread, with deadlines and with cancellation.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from .._dispatcher import Dispatcher

    class Transport(Protocol):
        """What the main program of a worker asks of a transport, in this order.

        A worker without a parent is not claimed."""

        def claim_process(self, socket: str | None = None) -> None:
            """Makes a process group, takes the standard input and output, and ties the worker's
            life, and that of its socket, to its parent's."""

        def tell_parent(self, json: str) -> None:
            """Writes a control line, a JSON object with the key ``event``."""

        def current_call(self) -> tuple[str, str] | None:
            """The id and the command of the call that the current thread runs."""

        def set_log_level(self, name: str) -> None:
            """From this level on what the transport itself has to say is told."""

        def serve(self, dispatcher: Dispatcher, config: dict[str, Any]) -> int | None:
            """Serves until it is told to stop. Returns the exit status, None for 0."""


#: By the names that ``--transport`` takes.
NAMES = ("native", "grpcio", "stdio-json", "stdio-msgpack")


class TransportMissing(Exception):
    """The transport needs something that is not installed; the message says how to get it."""


def has_parent() -> bool:
    """Whether another program started this one and holds its input: a worker that is started by
    hand has a terminal there, or nothing."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def load(name: str) -> Transport:
    """The transport of that name. Raises TransportMissing."""
    if name == "native":
        return _native()
    if name == "grpcio":
        return _grpcio()
    from ._stdio import StdioTransport

    return StdioTransport(name)


def _native() -> Transport:
    try:
        from .. import _native
    except ImportError as error:
        raise TransportMissing(
            f"snakepit_bridge has no native part for this Python: {error}\n"
            "Run: mix snakepit.setup (or: pip install priv/python),\n"
            "or take --transport grpcio, which needs no native part"
        ) from None
    return _native


def _grpcio() -> Transport:
    try:
        import google.protobuf  # noqa: F401
        import grpc  # noqa: F401
    except ImportError as error:
        raise TransportMissing(
            f"the grpcio transport is not installed: {error}\n"
            "Run: make install-grpc (or: pip install 'snakepit-bridge[grpc]')"
        ) from None
    from ._grpcio import GrpcioTransport

    return GrpcioTransport()
