"""Reading a large CSV file part by part, in constant memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice

from ._figures import MISSING, is_number

#: A text column with more different values than this in the first part is no grouping.
MOST_GROUPS = 100


class Part:
    """Some consecutive rows. ``rows`` are the usable ones, the others are only counted."""

    __slots__ = ("invalid", "read", "rows", "skipped")

    def __init__(self, lines: list[list[str]], width: int) -> None:
        self.read = len(lines)
        self.rows = [line for line in lines if len(line) == width]
        self.skipped = sum(1 for line in lines if not line)
        self.invalid = self.read - self.skipped - len(self.rows)


class Reader:
    """The rows of a CSV file whose first line names the columns.

    Skipped rows are the empty ones, invalid rows have too few or too many values.
    """

    def __init__(self, path: str, size: int) -> None:
        self._size = size
        self._file = open(path, newline="", encoding="utf-8-sig", errors="replace")  # noqa: SIM115
        self._lines = csv.reader(self._file)
        try:
            self.columns = next(self._lines, [])
            self.first = self._next()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def parts(self) -> Iterator[Part]:
        """At most ``size`` rows each."""
        part = self.first
        while part.read:
            yield part
            part = self._next()

    def numeric_columns(self) -> list[str]:
        """The columns that have numbers only, judged by the first part."""
        return [name for name in self.columns if self._is_numeric(name)]

    def grouping_column(self) -> str | None:
        """The first text column with few different values, judged by the first part."""
        for name in self.columns:
            if not self._is_numeric(name) and len(set(self._sample(name))) <= MOST_GROUPS:
                return name
        return None

    def _next(self) -> Part:
        return Part(list(islice(self._lines, self._size)), len(self.columns))

    def _sample(self, name: str) -> list[str]:
        place = self.columns.index(name)
        return [row[place] for row in self.first.rows]

    def _is_numeric(self, name: str) -> bool:
        there = [text for text in self._sample(name) if text not in MISSING]
        return bool(there) and all(map(is_number, there))


def count_rows(path: str) -> int:
    """How many rows the file has after its first line, counted by the ends of the lines.

    That is a few milliseconds per 100 MB, and too much by the lines that values in quotes contain.
    """
    lines = 0
    last = b"\n"
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
            last = block
    if not last.endswith(b"\n"):
        lines += 1
    return max(0, lines - 1)
