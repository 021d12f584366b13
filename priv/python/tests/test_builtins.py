import pytest
from support import make_call, read_all

from snakepit_bridge import InvalidArguments


@pytest.fixture
def run(dispatcher):
    def run(name, /, **args):
        return dispatcher.find(name).invoke(args, make_call())

    return run


def test_ping_tells_that_the_worker_answers(run):
    assert run("ping")["status"] == "ok"


def test_echo_returns_its_arguments(run):
    assert run("echo") == {}
    assert run("echo", a=1, b=[None, {"c": b"\xff"}]) == {"a": 1, "b": [None, {"c": b"\xff"}]}
    assert run("echo", args=1, call=2, kwargs=3) == {"args": 1, "call": 2, "kwargs": 3}


@pytest.mark.parametrize(
    ("operation", "result"), [("add", 8), ("subtract", 2), ("multiply", 15), ("divide", 5 / 3)]
)
def test_compute_knows_four_operations(run, operation, result):
    found = run("compute", operation=operation, a=5, b=3)["result"]
    assert found == result
    assert type(found) is type(result)


def test_compute_refuses_other_operations(run):
    with pytest.raises(InvalidArguments, match="must be add, subtract, multiply or divide"):
        run("compute", operation="power", a=2, b=3)


def test_compute_refuses_texts(run):
    with pytest.raises(InvalidArguments, match="'b' must be int or float, got str '3'"):
        run("compute", operation="add", a=2, b="3")


def test_a_division_by_zero_is_an_error_of_python(run):
    with pytest.raises(ZeroDivisionError):
        run("compute", operation="divide", a=1, b=0)


def test_ping_stream_gives_count_chunks_of_which_the_last_is_final(run):
    chunks, final = read_all(run("ping_stream", count=5))
    assert [chunk["message"] for chunk in chunks] == ["ping 1", "ping 2", "ping 3", "ping 4"]
    assert final == {"message": "ping 5", "index": 5}


@pytest.mark.parametrize("count", [0, 1, -1])
def test_a_short_ping_stream_has_a_final_chunk_only(run, count):
    chunks, final = read_all(run("ping_stream", count=count))
    assert chunks == []
    assert final == ({"message": "ping 1", "index": 1} if count == 1 else None)


def test_ping_stream_waits_between_its_chunks(run, monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    read_all(run("ping_stream", count=3, interval=250))
    assert waited == [0.25, 0.25]
