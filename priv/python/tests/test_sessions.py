import threading

import pytest

from snakepit_bridge import _sessions
from snakepit_bridge._sessions import Sessions


@pytest.fixture
def clock(monkeypatch):
    """The time that sessions see: set ``clock.now``."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(_sessions, "monotonic", lambda: Clock.now)
    return Clock


def test_a_new_session_is_empty_and_kept():
    sessions = Sessions()
    sessions.get("a")["n"] = 1
    assert sessions.get("a") == {"n": 1}
    assert sessions.get("b") == {}
    assert len(sessions) == 2


def test_a_session_is_forgotten_when_it_ends():
    sessions = Sessions()
    sessions.get("a")["n"] = 1
    assert sessions.end("a") == {"n": 1}
    assert sessions.end("a") is None
    assert sessions.get("a") == {}


def test_a_session_that_was_not_used_for_long_is_forgotten(clock):
    sessions = Sessions(ttl=10)
    sessions.get("a")["n"] = 1
    sessions.get("b")["n"] = 2
    clock.now = 8
    sessions.get("b")
    clock.now = 11
    assert sessions.get("c") == {}
    assert len(sessions) == 2
    assert sessions.get("b") == {"n": 2}
    assert sessions.get("a") == {}


def test_of_too_many_sessions_the_longest_unused_go():
    sessions = Sessions(max_sessions=2)
    for name in "ab":
        sessions.get(name)["name"] = name
    sessions.get("a")
    sessions.get("c")
    assert len(sessions) == 2
    assert sessions.get("a") == {"name": "a"}
    assert sessions.get("b") == {}


def test_a_session_that_a_call_holds_is_not_lost(clock):
    sessions = Sessions(ttl=10)
    held = sessions.get("a")
    clock.now = 100
    sessions.get("b")
    assert len(sessions) == 1
    held["n"] = 1
    assert sessions.get("a") is held


def test_a_held_session_can_be_ended(clock):
    sessions = Sessions(ttl=10)
    held = sessions.get("a")
    clock.now = 100
    sessions.get("b")
    assert sessions.end("a") is not None
    assert sessions.get("a") is not held


def test_many_threads_share_one_dict_per_session():
    sessions = Sessions()
    begin = threading.Barrier(8)
    found = []

    def look():
        begin.wait()
        for index in range(500):
            found.append((index % 5, id(sessions.get(str(index % 5)))))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 5
