"""The values of gRPC messages: maps of bytes, in one of the two codecs of the contract."""

from __future__ import annotations

from contextlib import suppress

from ..grpc import snakepit_pb2 as pb
from . import TransportMissing, _msgpack, _plain
from ._credit import ENTRY_OVERHEAD
from ._failure import Refused, check_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    Entries = Mapping[str, bytes]

    class Codec(Protocol):
        """How one value is written."""

        number: pb.Codec

        def read(self, value: bytes, path: str) -> Any:
            """Raises Refused."""

        def write(self, value: Any, path: str) -> bytes:
            """Raises Refused, which names the path."""


class JsonCodec:
    """What a plain peer speaks."""

    number = pb.CODEC_JSON

    def read(self, value: bytes, path: str) -> Any:
        return _plain.read(value)

    def write(self, value: Any, path: str) -> bytes:
        return _plain.write(value, path)


class MsgpackCodec:
    """Each value is one MessagePack object."""

    number = pb.CODEC_MSGPACK

    def __init__(self, pack: _msgpack.Pack, unpack: _msgpack.Unpack) -> None:
        self.read = unpack
        self._pack = pack

    def write(self, value: Any, path: str) -> bytes:
        return self._pack(value, path)


def codecs() -> dict[pb.Codec, Codec]:
    """The codecs that this worker has, by their number in the contract."""
    found: dict[pb.Codec, Codec] = {pb.CODEC_JSON: JsonCodec()}
    with suppress(TransportMissing):  # then it is not announced
        found[pb.CODEC_MSGPACK] = MsgpackCodec(*_msgpack.load())
    return found


def decode(codec: Codec, entries: Entries, root: str = "args") -> dict[str, Any]:
    """The values by their names. Raises Refused."""
    return {name: codec.read(value, f"{root}.{name}") for name, value in entries.items()}


def encode(codec: Codec, value: dict[str, Any], root: str) -> tuple[Entries, int]:
    """The entries of a dict, and the bytes they take. Raises Refused."""
    check_names(value, root)
    entries = {}
    size = 0
    for name, item in value.items():
        written = codec.write(item, f"{root}.{name}")
        entries[name] = written
        size += size_of(name) + len(written) + ENTRY_OVERHEAD
    return entries, size


def size_of_entries(entries: Entries) -> int:
    """The bytes of a chunk as both sides count them for credit."""
    return sum(size_of(name) + len(value) + ENTRY_OVERHEAD for name, value in entries.items())


def size_of(name: str) -> int:
    if name.isascii():
        return len(name)
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        raise Refused("encoding", f"the key {name!r} cannot be sent as UTF-8") from None
