"""Values as MessagePack, by the native codec."""

from __future__ import annotations

from . import TransportMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: ``(value, root)`` to bytes, and back. Raise EncodingError, which names the path from root on.
    Pack = Callable[[Any, str], bytes]
    Unpack = Callable[[bytes, str], Any]


def load() -> tuple[Pack, Unpack]:
    """The codec. Raises TransportMissing."""
    try:
        from .._native import pack, unpack
    except ImportError as error:
        raise TransportMissing(
            f"MessagePack needs the native part of snakepit_bridge: {error}\n"
            "Run: mix snakepit.setup (or: pip install priv/python)"
        ) from None
    return pack, unpack
