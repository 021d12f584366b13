"""The example that follows log files: what it tells, and when it ends."""

import asyncio
import os
import sys
import time

import pytest
from support import LIMIT

from snakepit_bridge import Final, InvalidArguments
from snakepit_bridge.examples import _changes
from snakepit_bridge.examples._lines import Analysis, compiled, severity, timestamp
from snakepit_bridge.examples.logs import tail_and_analyze


def tail(path, **args):
    """All chunks and the final one of a stream that ends by itself."""

    async def collect():
        return [chunk async for chunk in tail_and_analyze(str(path), **args)]

    *chunks, final = asyncio.run(collect())
    assert isinstance(final, Final)
    return chunks, final.chunk


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "app.log"
    path.write_text(
        "2025-01-20 15:30:44 INFO start\n"
        "2025-01-20 15:30:45,123 ERROR Database connection failed\n"
        "2025-01-20T15:31:00Z FATAL OutOfMemoryError: ERROR in the heap\n"
        "done\n"
    )
    return path


def test_the_keys_of_a_chunk(log):
    chunks, final = tail(log, patterns=["ERROR", "FATAL"], from_start=True, timeout_ms=0)
    assert chunks[0] == {
        "timestamp": "2025-01-20T15:30:45",
        "log_line": "2025-01-20 15:30:45,123 ERROR Database connection failed",
        "severity": "ERROR",
        "pattern_matched": "ERROR",
        "context": ["2025-01-20 15:30:44 INFO start"],
        "log_path": str(log),
    }
    assert (chunks[1]["severity"], chunks[1]["pattern_matched"]) == ("FATAL", "ERROR")
    assert len(chunks) == 2
    assert final == {
        "reason": "timeout",
        "lines": 4,
        "matches": 2,
        "rotations": 0,
        "truncations": 0,
    }


def test_patterns_have_two_names_and_may_be_json(log):
    for args in (
        {"error_patterns": '["FATAL", "x{2}"]'},
        {"error_patterns": ["F.TAL"]},
        {"patterns": ["FATAL"]},
    ):
        assert len(tail(log, from_start=True, timeout_ms=0, **args)[0]) == 1
    chunks, _ = tail(log, from_start=True, timeout_ms=0)
    assert [chunk["pattern_matched"] for chunk in chunks] == ["ERROR", "FATAL|CRITICAL"]


@pytest.mark.parametrize("argument", ["patterns", "error_patterns"])
@pytest.mark.parametrize("patterns", [["("], "ERROR", "[1]"])
def test_patterns_that_are_none_are_refused(log, argument, patterns):
    with pytest.raises(InvalidArguments, match=f"argument '{argument}'") as error:
        tail(log, **{argument: patterns})
    assert error.value.name == argument


def test_a_directory_and_too_much_context_are_refused(tmp_path):
    with pytest.raises(InvalidArguments, match="not a regular file"):
        tail(tmp_path, timeout_ms=0)
    with pytest.raises(InvalidArguments, match="from 0 to 1000"):
        tail(tmp_path / "app.log", context_lines=1_001, timeout_ms=0)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("12:00 ERROR user typed 'fatal'", "ERROR"),
        ("[critical] disk", "FATAL"),
        ("WARNING: deprecated", "WARN"),
        ("level=debug msg=error", "DEBUG"),
        ("java.lang.NullPointerException: x", "ERROR"),
        ("ZeroDivisionError: division by zero", "ERROR"),
        ("GET /errors 200", "INFO"),
        ("no terror here", "INFO"),
    ],
)
def test_the_severity_is_the_first_level_in_the_line(line, expected):
    assert severity(line) == expected


def test_a_line_without_a_time_gets_the_present_one():
    before = time.strftime("%Y-%m-%dT%H:%M:%S")
    assert before <= timestamp("ERROR") <= time.strftime("%Y-%m-%dT%H:%M:%S")


def test_the_context_is_the_lines_before():
    analysis = Analysis(compiled("patterns", ["E"]), 2)
    told = [analysis.add(line) for line in ("a", "b", "c", "E1", "E2", "d", "E3")]
    assert [one["context"] for one in told if one] == [["b", "c"], ["c", "E1"], ["E2", "d"]]
    assert Analysis(compiled("patterns", ["E"]), 0).add("E")["context"] == []


def test_a_stop_file_ends_it_when_all_that_is_there_was_read(log, tmp_path):
    stop = tmp_path / "stop"
    stop.touch()
    log.write_text("INFO\n" * 50_000 + "ERROR without an end")
    chunks, final = tail(log, from_start=True, stop_file=str(stop))
    assert [chunk["log_line"] for chunk in chunks] == ["ERROR without an end"]
    assert (final["reason"], final["lines"]) == ("stop_file", 50_001)


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, LIMIT)


@pytest.mark.parametrize("told", [True, False], ids=["inotify", "looking"])
def test_each_change_is_noticed(tmp_path, monkeypatch, told):
    if told and sys.platform != "linux":
        pytest.skip("only on Linux")
    if told:
        # So that nothing is noticed by looking.
        monkeypatch.setattr(_changes, "LONG_INTERVAL", 10 * LIMIT)
    else:
        monkeypatch.setattr(sys, "platform", "other")
    path, stop = tmp_path / "app.log", tmp_path / "stop"

    def append(line):
        with open(path, "a") as file:
            file.write(line)

    async def run():
        stream = tail_and_analyze(str(path), patterns=["ERROR"], stop_file=str(stop))

        async def after(change):
            waiting = asyncio.ensure_future(stream.__anext__())
            await asyncio.sleep(0)
            change()
            return await soon(waiting)

        def rotate():
            os.replace(path, tmp_path / "app.log.1")
            append("ERROR 3\n")

        def truncate():
            os.truncate(path, 0)
            append("ERROR 4\n")

        lines = [
            (await after(change))["log_line"]
            for change in (
                lambda: append("ERROR 1\n"),
                lambda: append("ERROR 2\n"),
                rotate,
                truncate,
            )
        ]
        final = await after(stop.touch)
        await stream.aclose()
        return lines, final.chunk

    lines, final = asyncio.run(run())
    assert lines == ["ERROR 1", "ERROR 2", "ERROR 3", "ERROR 4"]
    assert (final["reason"], final["rotations"], final["truncations"]) == ("stop_file", 1, 1)


def test_a_directory_may_come_later_too(tmp_path, monkeypatch):
    directory = tmp_path / "later"

    async def run():
        stream = tail_and_analyze(str(directory / "app.log"), patterns=["ERROR"])
        waiting = asyncio.ensure_future(stream.__anext__())
        await asyncio.sleep(0)
        directory.mkdir()
        (directory / "app.log").write_text("ERROR\n")
        chunk = await soon(waiting)
        await stream.aclose()
        return chunk

    assert asyncio.run(run())["log_line"] == "ERROR"


def test_who_waits_is_cancelled_at_once_and_nothing_stays_open(tmp_path):
    async def run():
        await asyncio.sleep(0)
        before = os.listdir("/dev/fd")
        stream = tail_and_analyze(str(tmp_path / "app.log"))
        waiting = asyncio.ensure_future(stream.__anext__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(waiting)
        assert os.listdir("/dev/fd") == before

    asyncio.run(run())


def test_an_idle_file_costs_no_processor_time(tmp_path):
    start = time.process_time()
    tail(tmp_path / "app.log", timeout_ms=1_000)
    assert time.process_time() - start < 0.1
