import json

import pytest
from support import make_call

from snakepit_bridge import Context, _budget, _progress
from snakepit_bridge._sessions import Sessions

JOB = {"snakepit-job": "1"}


@pytest.fixture
def told():
    lines = []
    _progress.forward(lambda line: lines.append(json.loads(line)))
    yield lines
    _progress.forward(None)


def job(**attributes):
    return Context(make_call(request_id="job_1", metadata=JOB, **attributes), Sessions())


def test_a_report_has_the_id_of_its_call(told):
    ctx = job()
    ctx.progress(0.25, "loading")
    ctx.progress(1, message=None)
    assert told == [
        {"event": "progress", "request_id": "job_1", "fraction": 0.25, "message": "loading"},
        {"event": "progress", "request_id": "job_1", "fraction": 1.0, "message": None},
    ]


@pytest.mark.parametrize("fraction", [-0.01, 1.01, float("nan"), float("inf"), "0.5", b"1"])
def test_what_is_no_number_from_0_to_1_is_refused(told, fraction):
    with pytest.raises(ValueError, match="a number from 0 to 1"):
        job().progress(fraction)
    assert told == []


def test_it_is_refused_without_a_job_too():
    with pytest.raises(ValueError, match="not 2"):
        Context(make_call(), Sessions()).progress(2)


def test_numbers_of_numpy_are_numbers(told):
    numpy = pytest.importorskip("numpy")
    ctx = job()
    for fraction in (numpy.float32(0.5), numpy.float64(0.5), numpy.array(0.5)):
        ctx.progress(fraction)
    ctx.progress(numpy.int64(1))
    assert [line["fraction"] for line in told] == [0.5, 0.5, 0.5, 1.0]
    with pytest.raises(ValueError, match="a number from 0 to 1"):
        ctx.progress(numpy.float32("nan"))


def test_messages_are_text_and_not_endless(told):
    ctx = job()
    ctx.progress(0.1, ValueError("any object"))
    ctx.progress(0.2, "x" * 5_000)
    assert [line["message"] for line in told] == ["any object", "x" * 1_000]


def test_of_too_many_reports_some_are_dropped_but_never_the_last(told, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(_budget, "monotonic", lambda: now[0])
    monkeypatch.setattr(_progress, "RATE", 100)
    ctx = job()
    for n in range(1_000):
        ctx.progress(n / 1_000)
    assert len(told) == 100
    now[0] = 0.055
    for n in range(1_000):
        ctx.progress(n / 1_000)
    assert len(told) == 105
    for _ in range(1_000):
        ctx.progress(1.0)
    assert [line["fraction"] for line in told[105:]] == [1.0]
    now[0] = 60.0
    for n in range(1_000):
        ctx.progress(n / 1_000)
    assert len(told) == 206


def test_one_call_does_not_silence_another(told):
    chatty, other = job(), job()
    for _ in range(2 * _progress.RATE):
        chatty.progress(0.5)
    told.clear()
    other.progress(0.1)
    assert len(told) == 1


def test_without_a_job_nothing_is_written(told):
    Context(make_call(request_id="r"), Sessions()).progress(0.5)
    _progress.end_reports("r", {})
    assert told == []


def test_the_end_is_told_for_jobs(told):
    _progress.end_reports("job_1", JOB)
    assert told == [{"event": "progress", "request_id": "job_1", "over": True}]


def test_without_a_parent_nothing_is_written():
    job().progress(0.5)
    _progress.end_reports("job_1", JOB)
