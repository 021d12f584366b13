"""Larger and smaller CSV files made of one, in constant memory."""

from __future__ import annotations

import csv
import shutil
from contextlib import ExitStack
from typing import Callable

from ._replacing import replacing


def repeat(source: str, target: str, times: int) -> None:
    """Writes the rows so many times, below one line with the names of the columns."""
    with open(source, "rb") as rows, replacing(target) as repeated:
        header = rows.readline()
        repeated.write(header)
        for _ in range(times):
            rows.seek(len(header))
            shutil.copyfileobj(rows, repeated, 1 << 20)


def split(source: str, targets: list[str], column: str, choose: Callable[[str], int]) -> None:
    """Writes each row to one of several files: ``choose`` gets its value in the column."""
    with ExitStack() as stack:
        rows = stack.enter_context(open(source, "rb"))
        files = [stack.enter_context(replacing(target)) for target in targets]
        header = rows.readline()
        place = next(csv.reader([header.decode()])).index(column)
        for file in files:
            file.write(header)
        for row in rows:
            # No value before the column is in quotes.
            files[choose(row.split(b",", place + 1)[place].decode())].write(row)
