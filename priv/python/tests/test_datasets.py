"""The large dataset example, against SQLite's sums over the same files."""

import csv
import random

import pytest
from support import make_call
from tables import ENTRY, figures_by_sqlite, process

from snakepit_bridge import InvalidArguments
from snakepit_bridge.examples import _memory, datasets
from snakepit_bridge.examples._csv import count_rows
from snakepit_bridge.examples.datasets import OTHER


def table(path, rows, header=("region", "amount", "cost")):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def sales(tmp_path):
    """A table with missing values: its path and its rows."""
    source = random.Random(7)

    def value():
        missing = source.random() < 0.1
        return source.choice(["", "NA"]) if missing else str(source.randint(-50, 500) / 4)

    rows = [(source.choice(["north", "south", "west"]), value(), value()) for _ in range(2_345)]
    return table(tmp_path / "sales.csv", rows), rows


def test_the_figures_of_the_groups_are_those_that_sqlite_finds(sales):
    path, rows = sales
    _, final = process(path, chunk_size=100)
    stats = final["final_stats"]
    assert final["processing_complete"] is True
    assert stats["group_by"] == "region"
    assert stats["groups"] == figures_by_sqlite(path, "region", ["amount", "cost"])
    assert (stats["processed"], stats["skipped"], stats["errors"]) == (len(rows), 0, 0)


def test_the_size_of_the_chunks_does_not_change_the_figures(sales):
    path, _ = sales
    small = process(path, chunk_size=7)[1]["final_stats"]
    large = process(path, chunk_size=100_000)[1]["final_stats"]
    assert small["groups"].keys() == large["groups"].keys()
    for name, group in small["groups"].items():
        assert group["rows"] == large["groups"][name]["rows"]
        for column, figures in group["columns"].items():
            assert figures == pytest.approx(large["groups"][name]["columns"][column])


def test_chunks_tell_the_progress(sales):
    path, _ = sales
    chunks, _ = process(path, chunk_size=1_000)
    assert [chunk["processed_rows"] for chunk in chunks] == [1_000, 2_000, 2_345]
    assert [chunk["total_rows"] for chunk in chunks] == [2_345] * 3
    assert [chunk["progress_percent"] for chunk in chunks] == [42.6, 85.3, 100.0]
    assert [chunk["chunk_index"] for chunk in chunks] == [0, 1, 2]
    assert all(chunk["memory_usage_mb"] > 1 for chunk in chunks)
    assert chunks[2]["chunk_summary"] == {"rows": 345, "skipped": 0, "errors": 0}
    figures = chunks[0]["chunk_stats"]["amount"]
    assert figures["count"] + figures["missing"] == 1_000


def test_the_overall_figures_are_those_of_all_chunks_together(sales):
    path, rows = sales
    stats = process(path, chunk_size=100)[1]["final_stats"]
    amounts = [float(amount) for _, amount, _ in rows if amount not in ("", "NA")]
    assert stats["columns"]["amount"] == {
        "count": len(amounts),
        "mean": pytest.approx(sum(amounts) / len(amounts)),
        "min": min(amounts),
        "max": max(amounts),
        "missing": len(rows) - len(amounts),
        "invalid": 0,
    }


def test_the_size_of_a_chunk_may_be_a_text(sales):
    path, _ = sales
    assert len(process(path, chunk_size="1000")[0]) == 3


@pytest.mark.parametrize("size", [0, -1, "", "x", "1.5"])
def test_a_chunk_has_at_least_one_row(sales, size):
    with pytest.raises(InvalidArguments, match="'chunk_size' must be a positive integer"):
        process(sales[0], chunk_size=size)


def test_rows_that_cannot_be_used_are_counted(tmp_path):
    path = table(
        tmp_path / "t.csv",
        [("a", 1, 2), (), ("a", 1), ("b", 1, 2, 3), ("", 1, 2), ("NA", 1, 2), ("b", "x", 4)],
    )
    stats = process(path, group_by="region", columns=["amount", "cost"])[1]["final_stats"]
    assert (stats["processed"], stats["skipped"], stats["errors"]) == (2, 3, 2)
    assert {name: group["rows"] for name, group in stats["groups"].items()} == {"a": 1, "b": 1}
    assert stats["columns"]["amount"]["invalid"] == 1
    assert stats["columns"]["amount"]["count"] == 1


def test_without_clean_a_missing_group_is_a_group(tmp_path):
    path = table(tmp_path / "t.csv", [("a", 1, 2), ("NA", 1, 2)])
    stats = process(path, operations=["transform", "aggregate"])[1]["final_stats"]
    assert {name: group["rows"] for name, group in stats["groups"].items()} == {"a": 1, "NA": 1}
    assert stats["skipped"] == 0


def test_without_transform_rows_are_counted_only(sales):
    stats = process(sales[0], operations=["clean", "aggregate"])[1]["final_stats"]
    assert stats["columns"] == {}
    assert sum(group["rows"] for group in stats["groups"].values()) == 2_345


def test_without_aggregate_there_are_no_groups(sales):
    stats = process(sales[0], operations=["transform"])[1]["final_stats"]
    assert stats["groups"] == {}
    assert stats["group_by"] is None
    assert stats["columns"]["amount"]["count"] > 0


def test_an_unknown_operation_is_refused(sales):
    with pytest.raises(InvalidArguments, match=r"'operations\[1\]' must be 'clean'"):
        process(sales[0], operations=["clean", "tidy"])


@pytest.mark.parametrize(
    ("argument", "value"), [("group_by", "country"), ("columns", ["amount", "country"])]
)
def test_a_column_that_is_not_there_is_named(sales, argument, value):
    with pytest.raises(InvalidArguments, match="no column 'country'") as caught:
        process(sales[0], **{argument: value})
    assert caught.value.name == argument


def test_the_groups_are_bounded(tmp_path):
    path = table(tmp_path / "t.csv", [(f"g{index}", 1, 2) for index in range(1_500)])
    groups = process(path, group_by="region")[1]["final_stats"]["groups"]
    assert len(groups) == 1_001
    assert groups[OTHER]["rows"] == 500


def test_values_in_quotes_may_contain_anything(tmp_path):
    path = table(tmp_path / "t.csv", [('a "quoted"\nlong, name', 1, 2), ("é", 3, 4)])
    stats = process(path)[1]["final_stats"]
    assert set(stats["groups"]) == {'a "quoted"\nlong, name', "é"}


@pytest.mark.parametrize("text", ["", "a,b\n"])
def test_a_table_without_rows_has_a_final_chunk_only(tmp_path, text):
    path = tmp_path / "empty.csv"
    path.write_text(text)
    chunks, final = process(path)
    assert chunks == []
    assert final["final_stats"]["processed"] == 0


def test_a_file_that_is_not_there_is_an_error_of_python(tmp_path):
    with pytest.raises(FileNotFoundError):
        process(tmp_path / "missing.csv")


def test_an_early_end_closes_the_file(sales, monkeypatch):
    opened = []

    class RecordingReader(datasets.Reader):
        def __init__(self, *args):
            super().__init__(*args)
            opened.append(self._file)

    monkeypatch.setattr(datasets, "Reader", RecordingReader)
    stream = ENTRY.invoke({"file_path": str(sales[0]), "chunk_size": 10}, make_call())
    next(stream)
    assert [file.closed for file in opened] == [False]
    stream.close()
    assert [file.closed for file in opened] == [True]


def test_memory_stays_flat_over_a_long_file(tmp_path):
    path = tmp_path / "long.csv"
    with open(path, "w") as file:
        file.write("region,amount\n")
        for index in range(200_000):
            file.write(f"{'abc'[index % 3]},{index}\n")
    chunks, _ = process(path, chunk_size=1_000)
    used = [chunk["memory_usage_mb"] for chunk in chunks]
    assert len(chunks) == 200
    assert used[-1] - used[20] < 8


@pytest.mark.parametrize(
    ("content", "rows"),
    [(b"", 0), (b"a,b", 0), (b"a\n1", 1), (b"a\n1\n", 1), (b"a\n" + b"1\n" * 5, 5)],
)
def test_rows_are_counted_by_their_line_ends(tmp_path, content, rows):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert count_rows(str(path)) == rows


def test_memory_is_told_where_there_is_no_proc(monkeypatch):
    def no_proc(*_args, **_kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(_memory, "open", no_proc, raising=False)
    assert _memory.resident_mb() > 1
