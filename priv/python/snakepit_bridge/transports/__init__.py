"""The ways in which calls reach a worker.

``native`` is written in Rust (``snakepit_bridge._native``). ``stdio-json`` and ``stdio-msgpack``,
frames over pipes, are here, in Python alone. They share an engine, which runs handlers as the
native transport does: on persistent threads, on one asyncio loop or on the main thread, with
deadlines and with cancellation.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from .._dispatcher import Dispatcher

    class Transport(Protocol):
        """What the main program of a worker asks of a transport, in this order."""

        def claim_process(self, socket: str | None = None) -> None:
            """Makes a process group, takes the standard input and output, and ties the worker's
            life, and that of its socket, to its parent's."""

        def tell_parent(self, json: str) -> None:
            """Writes a control line, a JSON object with the key ``event``."""

        def current_request_id(self) -> str | None:
            """The id of the call that the current thread runs."""

        def serve(self, dispatcher: Dispatcher, config: dict[str, Any]) -> int | None:
            """Serves until it is told to stop. Returns the exit status, None for 0."""


#: By the names that ``--transport`` takes.
NAMES = ("native", "stdio-json", "stdio-msgpack")


class TransportMissing(Exception):
    """The transport needs something that is not installed; the message says how to get it."""


def load(name: str) -> Transport:
    """The transport of that name. Raises TransportMissing."""
    if name == "native":
        return _native()
    from ._stdio import StdioTransport

    return StdioTransport(name)


def _native() -> Transport:
    try:
        from .. import _native
    except ImportError as error:
        raise TransportMissing(
            f"snakepit_bridge has no native part for this Python: {error}\n"
            "Run: mix snakepit.setup (or: pip install priv/python)"
        ) from None
    return _native
