import time

import pytest
from support import make_call

from snakepit_bridge import Cancelled, Context, SessionNotFound
from snakepit_bridge._sessions import Sessions


def context(**attributes):
    return Context(make_call(**attributes), Sessions())


def test_it_tells_about_the_call():
    ctx = context(
        command="train",
        request_id="r-7",
        session_id="s-1",
        metadata={"tenant": "a"},
        worker_id="w-2",
    )
    assert ctx.command == "train"
    assert ctx.request_id == "r-7"
    assert ctx.session_id == "s-1"
    assert ctx.metadata == {"tenant": "a"}
    assert ctx.worker_id == "w-2"


def test_the_time_remaining_is_that_to_the_deadline():
    assert context(deadline=None).time_remaining() is None
    assert context(deadline=time.monotonic() - 5).time_remaining() == 0.0
    assert 50 < context(deadline=time.monotonic() + 60).time_remaining() <= 60


def test_check_cancelled_raises_only_after_the_cancellation():
    call = make_call()
    ctx = Context(call, Sessions())
    assert ctx.cancelled is False
    ctx.check_cancelled()
    call.cancelled = True
    assert ctx.cancelled is True
    with pytest.raises(Cancelled):
        ctx.check_cancelled()


def test_except_exception_does_not_stop_a_cancellation():
    assert not issubclass(Cancelled, Exception)


def test_calls_of_one_session_see_one_dict():
    sessions = Sessions()
    first = Context(make_call(session_id="a"), sessions)
    second = Context(make_call(session_id="a"), sessions)
    other = Context(make_call(session_id="b"), sessions)
    first.session["model"] = 1
    assert second.session == {"model": 1}
    assert other.session == {}


def test_a_call_without_a_session_has_none_to_use():
    with pytest.raises(SessionNotFound, match=r"'train' uses ctx\.session"):
        context(command="train").session  # noqa: B018
