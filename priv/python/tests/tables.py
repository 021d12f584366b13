"""What the tests of the dataset example share."""

import csv
import sqlite3

import pytest
from support import make_call, read_all

from snakepit_bridge._entry import Entry
from snakepit_bridge._registry import Handler
from snakepit_bridge._sessions import Sessions
from snakepit_bridge.examples.datasets import process_large_dataset

ENTRY = Entry(Handler("process_large_dataset", "stream", process_large_dataset), Sessions())


def process(path, **args):
    """The chunks and the final chunk."""
    return read_all(ENTRY.invoke({"file_path": str(path), **args}, make_call()))


def figures_by_sqlite(path, group, columns):
    """For each group the rows, and for each column count, mean, min, max and missing values."""
    database = sqlite3.connect(":memory:")
    with open(path, newline="") as file:
        rows = csv.DictReader(file)
        database.execute(f"create table t (g text, {', '.join(f'{c} real' for c in columns)})")
        database.executemany(
            f"insert into t values (?{', ?' * len(columns)})",
            (
                [row[group], *(None if row[c] in ("", "NA") else float(row[c]) for c in columns)]
                for row in rows
            ),
        )
    found = {}
    for name, count in database.execute("select g, count(*) from t group by g"):
        found[name] = {"rows": count, "columns": {}}
    for column in columns:
        query = f"select g, count({column}), avg({column}), min({column}), max({column}) from t"
        for name, count, mean, least, most in database.execute(f"{query} group by g"):
            found[name]["columns"][column] = {
                "count": count,
                "mean": pytest.approx(mean, rel=1e-9),
                "min": least,
                "max": most,
                "missing": found[name]["rows"] - count,
                "invalid": 0,
            }
    database.close()
    return found
