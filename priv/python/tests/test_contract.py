"""What every transport does in the same way: calls to real workers."""

import base64
import datetime
import math
import os
import signal
import subprocess

import pytest
from workers import Beacon, CallFailed, GrpcClient, StdioClient, Worker, alive, ready

TRANSPORTS = ["stdio-json", "stdio-msgpack", "grpcio", "native"]


@pytest.fixture
def beacon(tmp_path):
    beacon = Beacon(tmp_path / "beacon")
    yield beacon
    beacon.close()


@pytest.fixture(params=TRANSPORTS)
def transport(request):
    return request.param


@pytest.fixture
def start(transport, beacon, tmp_path):
    """Starts a worker with options of its own: its client."""
    clients = []

    def start(*arguments, **options):
        env = {"SNAKEPIT_TEST_BEACON": beacon.path, **options.pop("env", {})}
        if transport in ("grpcio", "native"):
            arguments = (*arguments, "--socket", str(tmp_path / f"{len(clients)}.sock"))
        worker = Worker(*arguments, transport=transport, env=env, **options)
        client = connect(worker, transport)
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.close()
        client.worker.close()


def connect(worker, transport):
    if transport.startswith("stdio"):
        return StdioClient(worker, transport)
    address, _ = ready(worker)
    return GrpcClient(worker, address)


@pytest.fixture
def client(start):
    return start()


def failure(call, *args, **fields):
    with pytest.raises(CallFailed) as failed:
        call(*args, **fields)
    return failed.value


# Values


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**64 - 1,
        2**200,
        -(2**200),
        1.5,
        "text",
        "\x00äß🙂",
        "",
        [],
        {},
        [1, [2, [3]], {"a": {"b": None}}],
        {"__bytes__": 1, "b": 2},
        {"__float__": "none"},
        "5",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values_come_back_as_they_are(client, value):
    assert client.call("mirror", {"value": value})["value"] == value


def test_bytes_arrive_as_bytes_and_come_back(client, transport):
    data = bytes(range(256))
    form = {"__bytes__": base64.b64encode(data).decode()} if transport == "stdio-json" else data
    result = client.call("mirror", {"value": [form]})
    assert result == {"value": [form], "type": "list"}
    assert client.call("mirror", {"value": form})["type"] == "bytes"


@pytest.mark.parametrize(
    ("name", "number"), [("nan", math.nan), ("infinity", math.inf), ("neg_infinity", -math.inf)]
)
def test_floats_that_are_no_numbers(client, transport, name, number):
    form = {"__float__": name} if transport == "stdio-json" else number
    result = client.call("mirror", {"value": form})
    assert result["type"] == "float"
    assert str(result["value"]) == str(form)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("__import__('numpy').int64(5)", 5),
        ("__import__('numpy').float32(0.5)", 0.5),
        ("__import__('numpy').bool_(True)", True),
        ("__import__('numpy').datetime64('2020-02-03')", "2020-02-03"),
        ("__import__('datetime').date(2020, 2, 3)", "2020-02-03"),
        (
            "__import__('datetime').datetime(2020, 2, 3, 4, 5, 6)",
            datetime.datetime(2020, 2, 3, 4, 5, 6).isoformat(),
        ),
        ("__import__('datetime').time(4, 5)", "04:05:00"),
        ("(1, (2, 'x'))", [1, [2, "x"]]),
        ("__import__('enum').IntEnum('E', 'A').A", 1),
        ("type('S', (str,), {'__str__': lambda _: 'other'})('s')", "s"),
        ("{'a': (), 'b': __import__('numpy').float64('2')}", {"a": [], "b": 2.0}),
    ],
)
def test_python_values_that_travel_as_others(client, code, value):
    found = client.call("evaluate", {"code": f"{{'found': {code}}}"})["found"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("{'a': [1, object()]}", "result.a[1]: an object of type object cannot be sent"),
        ("{'a': {'b': {1}}}", "result.a.b: an object of type set cannot be sent"),
        ("{'a': __import__('decimal').Decimal(1)}", "result.a: an object of type decimal.Decimal"),
        ("{'a': [float('nan'), 1j]}", "result.a[1]: an object of type complex cannot be sent"),
        ("{'a': __import__('numpy').longdouble(1)}", "result.a: an object of type numpy."),
        ("{'a': __import__('numpy').zeros(2)}", "result.a: an object of type numpy.ndarray"),
        ("{'a': chr(0xd800)}", "result.a: a str with surrogates cannot be sent as UTF-8"),
        ("[a := [], a.append(a), {'a': a}][2]", "nested more than 256 deep"),
    ],
)
def test_values_that_cannot_be_sent_are_named_by_their_path(client, code, message):
    failed = failure(client.call, "evaluate", {"code": code})
    assert failed.kind == "encoding"
    assert message in failed.error
    assert client.call("ping")["status"] == "ok"


def test_keys_that_are_no_strings(client, transport):
    inner = client.call("evaluate", {"code": "{'a': {1: 2, None: 3, 1.5: 4}}"})["a"]
    if transport == "stdio-json":
        assert inner == {"1": 2, "null": 3, "1.5": 4}
        assert client.call("evaluate", {"code": "{1: 2}"}) == {"1": 2}
        failed = failure(client.call, "evaluate", {"code": "{'a': {(1, 2): 3}}"})
        assert failed.error.startswith("result.a: the key (1, 2) is an object of type tuple")
    else:
        assert inner == {1: 2, None: 3, 1.5: 4}
        failed = failure(client.call, "evaluate", {"code": "{1: 2}"})
        assert failed.error == "result: the key 1 is an object of type int, not str"
    assert failed.kind == "encoding"


def test_a_result_that_is_no_dict_is_one_with_the_key_result(client):
    assert client.call("evaluate", {"code": "[1]"}) == {"result": [1]}
    assert client.call("evaluate", {"code": "None"}) == {"result": None}


def test_a_result_of_a_megabyte(client):
    assert client.call("evaluate", {"code": "'x' * 2**20"}) == {"result": "x" * 2**20}


# Errors


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


# What a handler knows, and where it runs


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


# Cancellation


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


# The life of the process


def test_a_worker_that_is_told_to_stop_lets_calls_finish(client, beacon, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    call = client.start("read_file", {"path": str(tmp_path / "fifo")})
    beacon.expect("reading")
    client.worker.signal(signal.SIGTERM)
    while client.health()["healthy"]:
        pass
    assert failure(client.call, "ping").kind == "draining"
    assert failure(client.call, "release").kind == "draining"
    (tmp_path / "fifo").write_text("finished")
    assert call.result() == {"result": "finished"}
    beacon.expect("on_stop")
    assert client.worker.status() == 0


def test_a_worker_waits_for_its_calls_no_longer_than_it_is_told(start, beacon):
    client = start("--shutdown-timeout-ms", "50")
    call = client.start("stubborn")
    beacon.expect("stubborn")
    client.worker.signal(signal.SIGTERM)
    beacon.expect("on_stop")
    assert client.worker.status() == 0
    del call


def test_a_worker_ends_when_its_parent_has_gone_and_takes_its_children(client, beacon):
    child = client.call("child")["result"]
    call = client.start("busy")
    beacon.expect("busy")
    client.worker.process.stdin.close()
    beacon.expect("Cancelled")
    beacon.expect("on_stop")
    assert client.worker.status() == -signal.SIGKILL
    assert not alive(child)
    del call


def test_a_worker_that_still_imports_ends_with_its_parent_too(transport, tmp_path):
    (tmp_path / "endless_module.py").write_text(
        "import os, time\nos.write(2, b'importing\\n')\ntime.sleep(60)\n"
    )
    directory = tmp_path / "of the worker"
    directory.mkdir()
    listening = [] if transport.startswith("stdio") else ["--socket", str(directory / "socket")]
    worker = Worker(
        "--path",
        str(tmp_path),
        *listening,
        transport=transport,
        modules=["endless_module"],
        stderr=subprocess.PIPE,
    )
    assert worker.process.stderr.readline() == b"importing\n"
    worker.process.stdin.close()
    assert worker.status() == -signal.SIGKILL
    assert directory.exists() == (not listening)
    worker.process.stdout.close()
    worker.process.stderr.close()


def test_a_worker_leads_a_process_group_of_its_own(client):
    pid = client.worker.pid
    assert client.call("evaluate", {"code": "__import__('os').getpgrp()"})["result"] == pid


def test_the_handlers_read_nothing_from_the_standard_input(client):
    assert client.call("evaluate", {"code": "sys.stdin.read()"}) == {"result": ""}
