"""A growing file, line by line, also when it is rotated, truncated or not there yet."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

#: Of a longer line the rest is dropped, so that memory stays bounded.
MOST_LINE = 1 << 16
#: Read at once.
BLOCK = 1 << 16
#: So many bytes before the position tell whether the file is still the one that was read.
_TRACE = 64


class NotAFile(OSError):
    """There is something else under the path, such as a directory."""


class Follower:
    """What comes into a file. The lines have no line ends; bytes that are no UTF-8 are U+FFFD.

    A line without its end is held back until the end comes, or until no more can come: because the
    file was rotated or truncated, or because ``rest`` is asked for.
    """

    def __init__(self, path: str, from_start: bool = False) -> None:
        self.truncations = 0
        self._opened = 0
        self._path = path
        self._file: int | None = None
        self._at = 0
        self._trace = b""
        self._partial = b""
        if self._open() and not from_start:
            self._skip()

    def read(self) -> Iterator[list[str]]:
        """The lines that are there by now, in lists of those that were read at once.

        Raises NotAFile, and PermissionError.
        """
        if self._file is None and not self._open():
            return
        while self._file is not None:
            # Asked before the last look: until now the old file may have grown.
            replaced = self._is_replaced(self._file)
            yield from self._grown(self._file)
            if not replaced:
                return
            yield self.rest()
            self.close()
            self._open()

    @property
    def rotations(self) -> int:
        """How often another file has taken the place of the one before."""
        return max(0, self._opened - 1)

    def rest(self) -> list[str]:
        """The last line, if it has no end."""
        partial, self._partial = self._partial, b""
        return [_text(partial)] if partial else []

    def close(self) -> None:
        """Closes the file; it would be opened again by ``read``."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> bool:
        try:
            # Else a pipe would be waited for.
            self._file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            self.close()
            raise NotAFile(f"{self._path} is not a regular file")
        self._opened += 1
        self._at = 0
        self._trace = b""
        return True

    def _skip(self) -> None:
        """Goes to the end; of a line that has begun, the part that is there is left out too."""
        if self._file is not None:
            self._at = os.fstat(self._file).st_size
            length = min(_TRACE, self._at)
            self._trace = os.pread(self._file, length, self._at - length)

    def _is_replaced(self, file: int) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            # Renamed, and the next one is not there yet: the writer may still write into this one.
            return False
        return not os.path.samestat(there, os.fstat(file))

    def _grown(self, file: int) -> Iterator[list[str]]:
        size = os.fstat(file).st_size
        if size < self._at or self._is_rewritten(file):
            self.truncations += 1
            self._at = 0
            self._trace = b""
            yield self.rest()
        while self._at < size:
            block = os.pread(file, min(BLOCK, size - self._at), self._at)
            if not block:
                return
            self._at += len(block)
            self._trace = (self._trace + block)[-_TRACE:]
            *ended, partial = (self._partial + block).split(b"\n")
            self._partial = partial[:MOST_LINE]
            if ended:
                yield [_text(line) for line in ended]

    def _is_rewritten(self, file: int) -> bool:
        """Whether the file was truncated and has grown beyond the position since."""
        return os.pread(file, len(self._trace), self._at - len(self._trace)) != self._trace


def _text(line: bytes) -> str:
    # A writer that goes on at its old place in a truncated file leaves zeros before it.
    line = line[:MOST_LINE].lstrip(b"\0")
    return line.decode("utf-8", "replace").rstrip("\r")
