"""Figures of a table's columns, gathered part by part."""

from __future__ import annotations

from typing import Any

#: What stands for a value that is not there.
MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})


class Figures:
    """What the values of one column come to."""

    __slots__ = ("count", "invalid", "largest", "missing", "smallest", "total")

    def __init__(self) -> None:
        self.count = 0
        self.missing = 0
        self.invalid = 0
        self.total = 0.0
        self.smallest: float | None = None
        self.largest: float | None = None

    def add(self, texts: list[str]) -> None:
        """Adds values as they stand in the file."""
        there = [text for text in texts if text not in MISSING]
        numbers = to_numbers(there)
        self.missing += len(texts) - len(there)
        self.invalid += len(there) - len(numbers)
        if numbers:
            smallest, largest = min(numbers), max(numbers)
            self.count += len(numbers)
            self.total += sum(numbers)
            self.smallest = smallest if self.smallest is None else min(self.smallest, smallest)
            self.largest = largest if self.largest is None else max(self.largest, largest)

    def merge(self, other: Figures) -> None:
        """Adds what another part came to."""
        self.missing += other.missing
        self.invalid += other.invalid
        if other.smallest is not None and other.largest is not None:
            self.count += other.count
            self.total += other.total
            if self.smallest is None or other.smallest < self.smallest:
                self.smallest = other.smallest
            if self.largest is None or other.largest > self.largest:
                self.largest = other.largest

    def to_dict(self) -> dict[str, Any]:
        """``count`` of the numbers, their ``mean``, ``min`` and ``max`` (None without any), and how
        many values were ``missing`` or ``invalid``, that is no number."""
        return {
            "count": self.count,
            "mean": self.total / self.count if self.count else None,
            "min": self.smallest,
            "max": self.largest,
            "missing": self.missing,
            "invalid": self.invalid,
        }


class Table:
    """Figures of some columns, for all rows or for one group of them."""

    __slots__ = ("columns", "rows")

    def __init__(self, names: list[str]) -> None:
        self.rows = 0
        self.columns = {name: Figures() for name in names}

    def add(self, rows: list[list[str]], places: dict[str, int]) -> None:
        """Adds rows; ``places`` tells where in them each column stands."""
        self.rows += len(rows)
        for name, figures in self.columns.items():
            place = places[name]
            figures.add([row[place] for row in rows])

    def merge(self, other: Table) -> None:
        """Adds what another part came to."""
        self.rows += other.rows
        for name, figures in self.columns.items():
            figures.merge(other.columns[name])

    def to_dict(self) -> dict[str, Any]:
        """``{"rows": ..., "columns": {<column>: {"count": ..., "mean": ..., ...}, ...}}``."""
        columns = {name: figures.to_dict() for name, figures in self.columns.items()}
        return {"rows": self.rows, "columns": columns}


def to_numbers(texts: list[str]) -> list[float]:
    """The numbers among the texts."""
    try:
        return list(map(float, texts))
    except ValueError:
        return [float(text) for text in texts if is_number(text)]


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
