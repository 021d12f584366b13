"""Errors, what a handler knows, where it runs, and how it is cancelled."""

import signal

import pytest
from workers import failure


@pytest.mark.parametrize("command", ["fail", "fail_on_loop"])
def test_an_exception_keeps_type_message_and_the_handlers_traceback(client, command):
    failed = failure(client.call, command, {"message": "not här"})
    assert failed.error == "not här"
    assert failed.kind == "python"
    assert failed.detail["type"] == "LookupError"
    assert failed.detail["message"] == "not här"
    assert failed.detail["retryable"] is (command == "fail")
    lines = failed.detail["traceback"].splitlines()
    assert "contract_handlers.py" in lines[1]
    assert lines[-1] == "LookupError: not här"


def test_an_unknown_command_is_told_with_one_that_looks_like_it(client):
    failed = failure(client.call, "mirorr")
    assert failed.kind == "unknown_command"
    assert "mirror" in failed.error


def test_arguments_that_do_not_fit(client):
    assert failure(client.call, "mirror").kind == "invalid_arguments"
    assert failure(client.call, "on_loop", {"x": 1}).kind == "invalid_arguments"
    assert failure(client.call, "fail", {"message": 5}).kind == "invalid_arguments"


def test_a_stream_is_not_to_be_called_as_a_command(client):
    failed = failure(client.call, "numbers", {"count": 1})
    assert failed.kind == "invalid_arguments"
    assert failed.error == "numbers is a @stream: call it with execute_stream"


def test_an_exception_with_surrogates_in_its_message(client):
    assert failure(client.call, "evaluate", {"code": "int(chr(0xd800))"}).kind == "python"


def test_a_result_over_the_limit_is_too_large(start):
    client = start("--max-message-size", "100000")
    failed = failure(client.call, "evaluate", {"code": "'x' * 200000"})
    assert failed.kind == "too_large"
    assert "max_message_size, 100000 bytes" in failed.error
    assert client.call("ping")["status"] == "ok"


def test_the_context_of_a_call(start):
    client = start("--worker-id", "w7")
    known = client.call(
        "about", request_id="r1", session_id="s1", metadata={"a": "ü"}, timeout_ms=60_000
    )
    assert 30 < known.pop("remaining") <= 60
    assert known == {
        "session_id": "s1",
        "request_id": "r1",
        "metadata": {"a": "ü"},
        "worker_id": "w7",
        "command": "about",
    }
    assert client.call("about")["remaining"] is None


def test_a_session_keeps_its_state(client):
    assert [client.call("count", session_id=s)["result"] for s in "aab"] == [1, 2, 1]
    assert client.call("snakepit.end_sessions", {"sessions": ["a"]}) == {"ended": 1}
    assert client.call("count", session_id="a")["result"] == 1
    assert failure(client.call, "count").kind == "session_not_found"


def test_threads_live_on_between_calls(start):
    client = start("--capacity", "1")
    first, second = client.call("thread"), client.call("thread")
    assert second == {"ident": first["ident"], "calls": 2}


def test_handlers_that_need_the_main_thread_get_it(client):
    assert client.call("on_main_thread") == {"result": True}


def test_async_handlers_run_on_the_loop(client):
    assert client.call("on_loop") == {"result": "asyncio"}


def test_as_many_calls_run_at_once_as_the_capacity_says(start, beacon):
    client = start("--capacity", "3")
    waiting = [client.start("wait_for_release", {"name": str(n)}) for n in range(3)]
    assert {beacon.next() for _ in waiting} == {"0", "1", "2"}
    queued = client.start("wait_for_release", {"name": "queued"})
    health = client.health()
    assert health["active_requests"] == 4
    waiting[0].cancel()  # it stands in a lock and cannot be interrupted, and no longer counts
    beacon.expect("queued")
    client.call("release")
    assert queued.result() == {"result": "queued"}
    assert [call.result()["result"] for call in waiting[1:]] == ["1", "2"]


def test_the_health_tells_of_the_worker(start, transport):
    client = start("--worker-id", "w7")
    client.call("ping")
    health = client.health()
    assert health["healthy"] is True
    assert health["worker_id"] == "w7"
    assert health["transport"] == transport
    assert health["total_requests"] == 1
    assert health["uptime_ms"] >= 0
    assert health["rss_bytes"] > 1_000_000
    assert health["python_version"].startswith("3.")
    assert {"ping", "mirror"} <= set(health["commands"])


def test_a_busy_handler_is_interrupted(client, beacon):
    call = client.start("busy")
    beacon.expect("busy")
    call.cancel()
    beacon.expect("Cancelled")
    assert client.call("ping")["status"] == "ok"


def test_an_async_handler_is_cancelled(client, beacon):
    call = client.start("sleep_on_loop")
    beacon.expect("asleep")
    call.cancel()
    beacon.expect("CancelledError")


def test_a_handler_that_asks_is_left_in_peace(client, beacon):
    call = client.start("asks")
    beacon.expect("asks")
    call.cancel()
    beacon.expect("asked")
    assert client.call("ping")["status"] == "ok"


def test_a_call_that_waits_and_is_cancelled_never_runs(start, beacon):
    client = start("--capacity", "1")
    running = client.start("wait_for_release")
    beacon.expect("waiting")
    queued = client.start("wait_for_release", {"name": "never"})
    queued.cancel()
    last = client.start("wait_for_release", {"name": "last"})
    client.call("release")
    assert running.result() == {"result": "waiting"}
    beacon.expect("last")
    assert last.result() == {"result": "last"}


def test_many_cancelled_calls_leave_a_worker_that_serves(client, beacon):
    for _ in range(50):
        call = client.start("busy")
        beacon.expect("busy")
        call.cancel()
        beacon.expect("Cancelled")
    assert client.call("ping")["status"] == "ok"


def test_a_handler_that_does_not_end_costs_the_worker(start, beacon):
    client = start("--cancel-grace-ms", "100", "--worker-id", "w7")
    call = client.start("stubborn")
    beacon.expect("stubborn")
    call.cancel()
    assert client.worker.status() == -signal.SIGKILL
