"""The frames of the stdio transports: a length in four bytes, then one message."""

from __future__ import annotations

import os
import re
from _thread import allocate_lock
from io import BufferedReader, FileIO

from . import _json
from ._failure import check_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from ._failure import Detail
    from ._msgpack import Pack, Unpack

    class Format(Protocol):
        """How a message is written."""

        def read(self, frame: bytes) -> Any:
            """The message in a frame. Raises ValueError or Refused."""

        def id_in(self, frame: bytes) -> int | None:
            """The id that stands first in a frame which is otherwise not understood."""

        def success(self, id: int, result: dict[str, Any]) -> bytes:
            """Raises Refused, which names the path from ``result`` on."""

        def failure(self, id: int, detail: Detail) -> bytes: ...


class FramingLost(Exception):
    """Where the next frame begins cannot be told any more."""


class FrameReader:
    """Reads frames from a file descriptor."""

    def __init__(self, fd: int, limit: int) -> None:
        self._file = BufferedReader(FileIO(fd, "rb"), 65_536)
        self._limit = limit

    def read(self) -> bytes | None:
        """The next frame, None at the end. Raises FramingLost. Blocks."""
        header = self._file.read(4)
        if not header:
            return None
        length = int.from_bytes(header, "big")
        # Before anything is allocated: what is no frame may say any length.
        if len(header) == 4 and length > self._limit:
            raise FramingLost(
                f"a frame of {length} bytes was announced, and {self._limit} are allowed"
            )
        frame = self._file.read(length)
        if len(header) < 4 or len(frame) < length:
            raise FramingLost("the input ended within a frame")
        return frame


class FrameWriter:
    """Writes frames to a file descriptor, from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = allocate_lock()

    def write(self, message: bytes) -> None:
        """Raises OSError when nobody reads any more. Blocks."""
        header = len(message).to_bytes(4, "big")
        with self._lock:
            if len(message) < 65_536:
                rest = memoryview(header + message)
            else:
                written = os.writev(self._fd, (header, message))
                while written < 4:
                    written += os.write(self._fd, header[written:])
                rest = memoryview(message)[written - 4 :]
            while rest:
                rest = rest[os.write(self._fd, rest) :]


class JsonFormat:
    """One JSON object."""

    _ID = re.compile(rb'\s*\{\s*"id"\s*:\s*(\d{1,19})\s*[,}]')

    def read(self, frame: bytes) -> Any:
        return _json.loads(frame)

    def id_in(self, frame: bytes) -> int | None:
        found = self._ID.match(frame)
        return int(found[1]) if found else None

    def success(self, id: int, result: dict[str, Any]) -> bytes:
        return b'{"id":%d,"success":true,"result":%b}' % (id, _json.dumps(result, "result"))

    def failure(self, id: int, detail: Detail) -> bytes:
        error = _json.dumps(detail["message"])
        told = _json.dumps(detail)
        return b'{"id":%d,"success":false,"error":%b,"detail":%b}' % (id, error, told)


class MsgpackFormat:
    """One MessagePack map."""

    #: The beginning of a map whose first key is "id", an integer.
    _ID = re.compile(
        rb"(?:[\x81-\x8f]|\xde..|\xdf....)\xa2id"
        rb"(?:([\x00-\x7f])|\xcc(.)|\xcd(..)|\xce(....)|\xcf(.{8}))",
        re.DOTALL,
    )

    def __init__(self, pack: Pack, unpack: Unpack) -> None:
        self._pack = pack
        self._unpack = unpack

    def read(self, frame: bytes) -> Any:
        return self._unpack(frame, "frame")

    def id_in(self, frame: bytes) -> int | None:
        found = self._ID.match(frame)
        return int.from_bytes(found[found.lastindex or 0], "big") if found else None

    def success(self, id: int, result: dict[str, Any]) -> bytes:
        check_names(result, "result")
        packed = self._pack(result, "result")
        return b"\x83\xa2id\xcf%b\xa7success\xc3\xa6result%b" % (id.to_bytes(8, "big"), packed)

    def failure(self, id: int, detail: Detail) -> bytes:
        return b"\x84\xa2id\xcf%b\xa7success\xc2\xa5error%b\xa6detail%b" % (
            id.to_bytes(8, "big"),
            self._pack(detail["message"], "error"),
            self._pack(detail, "detail"),
        )
