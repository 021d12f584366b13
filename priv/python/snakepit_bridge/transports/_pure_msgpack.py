"""Values as MessagePack by the package ``msgpack``, where there is no native part: the same bytes,
and the same errors, more slowly."""

from __future__ import annotations

from typing import Any

import msgpack

from .. import _arrays
from ._failure import Refused
from ._walk import array, known, text, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

#: The extension type of an integer beyond 64 bits: big-endian two's complement.
BIG_INTEGER = 1

_ARRAY = _arrays.KEY.encode()

_PLAIN = {bool, bytes, float, int, str, type(None)}


def pack(value: Any, root: str) -> bytes:
    """Raises Refused, which names the path from ``root`` on."""
    try:
        if not _holds_view((value,)):
            return _packed(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # what it does not take, or says nothing useful about
    return _packed(walk(value, _Form(), root))


def unpack(data: bytes, root: str) -> Any:
    """Raises Refused."""
    try:
        hook = _formed if _ARRAY in data else None
        return msgpack.unpackb(data, strict_map_key=False, ext_hook=_extension, object_hook=hook)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused("encoding", f"{root}: {error}") from None


class _Form:
    """MessagePack has all but large integers."""

    def integer(self, value: int) -> Any:
        return value if -(2**63) <= value < 2**64 else _large(value)

    def float(self, value: float) -> float:
        return value

    def bytes(self, value: Any) -> bytes:
        return bytes(value)

    def array(self, value: Any) -> Any:
        return array(value, lambda items: items)

    def key(self, key: Any) -> Any:
        if isinstance(key, str):
            return text(key)
        if isinstance(key, int) and not isinstance(key, bool):
            return self.integer(int(key))
        if key is None or isinstance(key, (bool, float, bytes, tuple)):
            return key
        return known(key)


def _packed(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, default=_default)
    return packed


def _default(value: Any) -> Any:
    if isinstance(value, int):
        return _large(value)
    try:
        return known(value)
    except TypeError:
        return _Form().array(value)


def _holds_view(values: Collection[Any]) -> bool:
    """Whether a memoryview is among them, which the package takes for bytes in any case."""
    kinds = set(map(type, values))
    if memoryview in kinds:
        return True
    if kinds <= _PLAIN:
        return False
    inner = (
        value.values() if isinstance(value, dict) else value
        for value in values
        if isinstance(value, (dict, list, tuple))
    )
    return any(map(_holds_view, inner))


def _formed(found: dict[Any, Any]) -> Any:
    if len(found) == 1 and _arrays.KEY in found:
        return _arrays.make(found[_arrays.KEY])
    return found


def _large(value: int) -> msgpack.ExtType:
    # One bit more, for the sign.
    size = value.bit_length() // 8 + 1
    return msgpack.ExtType(BIG_INTEGER, value.to_bytes(size, "big", signed=True))


def _extension(code: int, data: bytes) -> int:
    if code != BIG_INTEGER:
        raise ValueError(f"a value of the unknown extension type {code}")
    return int.from_bytes(data, "big", signed=True)
