"""Work on a table that is larger than memory, with its progress shown while it goes on.

Serve it with ``modules: ["snakepit_bridge.examples.datasets"]``.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

from snakepit_bridge import InvalidArguments, stream

from ._csv import Part, Reader, count_rows
from ._figures import MISSING, Table
from ._memory import resident_mb

Operation = Literal["clean", "transform", "aggregate"]

#: Rows of further groups go into one that is called OTHER, so that memory stays bounded.
MOST_GROUPS = 1_000
OTHER = "(other)"


@stream
def process_large_dataset(
    file_path: str,
    chunk_size: int | str = 10_000,
    operations: tuple[Operation, ...] = ("clean", "transform", "aggregate"),
    group_by: str | None = None,
    columns: list[str] | None = None,
) -> Generator[dict[str, Any], None, dict[str, Any]]:
    """Reads a CSV file of any size in constant memory and gives figures of its columns.

    ``chunk_size`` rows make a chunk. ``columns`` are the numeric columns to work on, all of them
    if not given. ``group_by`` is the column whose values the figures are told apart by; if not
    given, the first text column with few different values. The operations:

    * ``clean``: leave out the rows whose group is missing
    * ``transform``: turn the columns into numbers; without it there are only counts of rows
    * ``aggregate``: gather the figures of each group

    Chunks have ``processed_rows`` and ``total_rows`` (integers), ``progress_percent`` (0.0 to
    100.0), ``memory_usage_mb`` (of the worker process, in 2**20 bytes), ``chunk_index``,
    ``chunk_summary`` (the chunk's ``rows``, ``skipped`` and ``errors``) and ``chunk_stats`` (for
    each column ``count``, ``mean``, ``min``, ``max``, ``missing``, ``invalid``).

    The final chunk has ``processing_complete`` (true) and ``final_stats``: the numbers of rows
    ``processed``, ``skipped`` (empty, or without a group) and ``errors`` (with too few or too many
    values), the figures of all of them in ``columns``, and ``group_by`` and ``groups``: for each
    group its ``rows`` and its ``columns``. Missing values count in ``missing``, not in the means.

    Raises FileNotFoundError, and InvalidArguments for a column that the file does not have.
    """
    size = _positive(chunk_size)
    total = count_rows(file_path)
    with Reader(file_path, size) as reader:
        work = _Work(reader, operations, group_by, columns)
        read = 0
        for index, part in enumerate(reader.parts()):
            read += part.read
            yield {
                "processed_rows": read,
                "total_rows": total,
                "progress_percent": round(min(100.0, 100 * read / max(1, total)), 1),
                "memory_usage_mb": resident_mb(),
                "chunk_index": index,
                **work.add(part),
            }
    return {"final_stats": work.final_stats(), "processing_complete": True}


class _Work:
    """What the parts of one table have come to so far."""

    def __init__(
        self,
        reader: Reader,
        operations: tuple[Operation, ...],
        group_by: str | None,
        columns: list[str] | None,
    ) -> None:
        self._places = {name: place for place, name in enumerate(reader.columns)}
        self._check("columns", columns or [])
        self._check("group_by", [] if group_by is None else [group_by])
        self._clean = "clean" in operations
        self._columns: list[str] = []
        if "transform" in operations:
            self._columns = reader.numeric_columns() if columns is None else columns
        self._group_by: str | None = None
        if "aggregate" in operations:
            self._group_by = reader.grouping_column() if group_by is None else group_by
        self._all = Table(self._columns)
        self._groups: dict[str, Table] = {}
        self._skipped = 0
        self._errors = 0

    def add(self, part: Part) -> dict[str, Any]:
        """Adds a part. Returns ``chunk_summary`` and ``chunk_stats`` of it."""
        table = Table(self._columns)
        skipped = part.skipped
        for name, rows in self._grouped(part.rows).items():
            if self._clean and name in MISSING:
                skipped += len(rows)
                continue
            group = Table(self._columns)
            group.add(rows, self._places)
            table.merge(group)
            if name is not None:
                self._group(name).merge(group)
        self._all.merge(table)
        self._skipped += skipped
        self._errors += part.invalid
        return {
            "chunk_summary": {"rows": table.rows, "skipped": skipped, "errors": part.invalid},
            "chunk_stats": table.to_dict()["columns"],
        }

    def final_stats(self) -> dict[str, Any]:
        return {
            "processed": self._all.rows,
            "skipped": self._skipped,
            "errors": self._errors,
            "columns": self._all.to_dict()["columns"],
            "group_by": self._group_by,
            "groups": {name: table.to_dict() for name, table in sorted(self._groups.items())},
        }

    def _check(self, argument: str, names: list[str]) -> None:
        for name in names:
            if name not in self._places:
                raise InvalidArguments(
                    argument, f"argument {argument!r}: the file has no column {name!r}"
                )

    def _grouped(self, rows: list[list[str]]) -> dict[str | None, list[list[str]]]:
        if self._group_by is None:
            return {None: rows}
        place = self._places[self._group_by]
        groups: dict[str | None, list[list[str]]] = {}
        for row in rows:
            name = row[place]
            if name in groups:
                groups[name].append(row)
            else:
                groups[name] = [row]
        return groups

    def _group(self, name: str) -> Table:
        if name not in self._groups and len(self._groups) >= MOST_GROUPS:
            name = OTHER
        return self._groups.setdefault(name, Table(self._columns))


def _positive(chunk_size: int | str) -> int:
    # The text form is what early callers sent, whose arguments were all texts.
    size = chunk_size if isinstance(chunk_size, int) else 0
    if isinstance(chunk_size, str) and chunk_size.isdecimal():
        size = int(chunk_size)
    if size < 1:
        raise InvalidArguments(
            "chunk_size", f"argument 'chunk_size' must be a positive integer, got {chunk_size!r}"
        )
    return size
