"""Values as MessagePack: by the native codec, and without that by the package ``msgpack``."""

from __future__ import annotations

from .._exceptions import EncodingError
from . import TransportMissing
from ._failure import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: ``(value, root)`` to bytes, and back. Raise Refused, which names the path from root on.
    Pack = Callable[[Any, str], bytes]
    Unpack = Callable[[bytes, str], Any]


def load() -> tuple[Pack, Unpack]:
    """The codec. Raises TransportMissing."""
    try:
        from .._native import pack, unpack
    except ImportError as error:
        return _pure(error)

    def pack_or_refuse(value: Any, root: str) -> bytes:
        try:
            return pack(value, root)
        except EncodingError as error:
            raise Refused("encoding", str(error)) from None

    def unpack_or_refuse(data: bytes, root: str) -> Any:
        try:
            return unpack(data, root)
        except EncodingError as error:
            raise Refused("encoding", str(error)) from None

    return pack_or_refuse, unpack_or_refuse


def _pure(no_native: ImportError) -> tuple[Pack, Unpack]:
    try:
        from ._pure_msgpack import pack, unpack
    except ImportError:
        raise TransportMissing(
            f"MessagePack needs the native part of snakepit_bridge: {no_native}\n"
            "Run: mix snakepit.setup (or: pip install priv/python),\n"
            "or do without it: pip install 'snakepit-bridge[msgpack]'"
        ) from None
    return pack, unpack
