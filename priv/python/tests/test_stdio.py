"""What only the stdio transports have: frames, and output that goes another way."""

import json
import queue
import socket
import subprocess

import pytest
from support import LIMIT
from workers import CallFailed, StdioClient, Worker, control, lines_of


@pytest.fixture(params=["stdio-json", "stdio-msgpack"])
def transport(request):
    return request.param


@pytest.fixture
def start(transport):
    workers = []

    def start(*arguments, **options):
        options.setdefault("stderr", subprocess.PIPE)
        worker = Worker(*arguments, transport=transport, **options)
        workers.append(worker)
        return StdioClient(worker, transport)

    yield start
    for worker in workers:
        worker.close()
        if worker.process.stderr:
            worker.process.stderr.close()


@pytest.fixture
def client(start):
    return start()


def protocol_error(pending):
    with pytest.raises(CallFailed) as failed:
        pending.result()
    assert failed.value.kind == "protocol"
    return failed.value.error


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "a call without a command"),
        ({"command": 5}, "a call without a command"),
        ({"command": "ping", "args": []}, "args must be a map, got list"),
        ({"command": "ping", "timeout_ms": "1"}, "timeout_ms must be an integer, got str"),
        ({"command": "ping", "session_id": 1}, "session_id must be a string, got int"),
        ({"command": "ping", "metadata": {"a": 1}}, "metadata must have strings"),
        ({"type": "wat"}, "a frame of unknown type 'wat'"),
        ({"type": ["call"]}, "a frame of unknown type ['call']"),
    ],
)
def test_a_frame_with_an_id_that_makes_no_sense_is_answered(client, fields, message):
    pending = client.pending_for(7)
    client.send({"id": 7, **fields})
    assert message in protocol_error(pending)
    assert client.call("ping")["status"] == "ok"


def test_a_frame_whose_rest_is_garbage_is_answered(client, transport):
    head = b'{"id": 7, "command": nonsense' if transport == "stdio-json" else b"\x82\xa2id\x07\xc1"
    pending = client.pending_for(7)
    client.send_bytes(head)
    assert "cannot be read" in protocol_error(pending)
    assert client.call("ping")["status"] == "ok"


def test_a_frame_that_is_nested_without_end_is_answered(client, transport):
    depth = 1_000_000
    head = (
        b'{"id":7,"args":' + b"[" * depth
        if transport == "stdio-json"
        else b"\x82\xa2id\xcd\x00\x07\xa4args" + b"\x91" * depth + b"\xc0"
    )
    pending = client.pending_for(7)
    client.send_bytes(head)
    assert "cannot be read" in protocol_error(pending)
    assert client.call("ping")["status"] == "ok"


@pytest.mark.parametrize("id", [None, "x", -1, 1.5, True, 2**64])
def test_a_frame_without_a_proper_id_ends_the_worker(client, id):
    client.send({"command": "ping"} if id is None else {"id": id, "command": "ping"})
    assert client.worker.status() == 1
    assert b"a frame without an id" in client.worker.process.stderr.read()


@pytest.mark.parametrize("frame", [b"", b"\xc1\xff", b"[]", b"\x90", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_frame_of_garbage_ends_the_worker(client, frame):
    client.send_bytes(frame)
    assert client.worker.status() == 1
    assert b"the worker ends" in client.worker.process.stderr.read()


def test_an_announced_length_over_the_limit_ends_the_worker(start):
    client = start("--max-message-size", "1024")
    client.worker.process.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
    client.worker.process.stdin.flush()
    assert client.worker.status() == 1
    assert b"1195725856 bytes was announced" in client.worker.process.stderr.read()


@pytest.mark.parametrize("beginning", [b"\x00", b"\x00\x00\x00\x05abc"])
def test_an_input_that_ends_within_a_frame_ends_the_worker(start, beginning):
    client = start()
    assert client.health()["healthy"]
    client.worker.process.stdin.write(beginning)
    client.worker.process.stdin.close()
    assert client.worker.status() != 0


def test_a_second_call_of_a_running_id_is_refused_and_the_first_goes_on(client):
    first = client.start("wait_for_release")
    again = client.pending_for(first.id)
    client.send({"id": first.id, "command": "ping"})
    assert "runs already" in protocol_error(again)
    client._replies[first.id] = first.replies
    client.call("release")
    assert first.result() == {"result": "waiting"}


def test_a_cancellation_of_an_unknown_call_is_no_error(client):
    client.send({"id": 99, "type": "cancel"})
    assert client.call("ping")["status"] == "ok"


def test_replies_have_their_id_in_front(client, transport):
    pending = client.pending_for(5)
    client.send({"id": 5, "command": "ping"})
    assert list(pending.replies.get(timeout=LIMIT))[:2] == ["id", "success"]


def test_many_callers_at_once_get_their_own_replies(client):
    calls = {n: client.start("mirror", {"value": n}) for n in range(500)}
    assert all(call.result()["value"] == n for n, call in calls.items())


def test_without_another_way_output_goes_to_the_standard_error(client):
    client.call("say", {"message": "hello"})
    client.worker.close()
    said = client.worker.process.stderr.read().splitlines()
    assert said == [b"hello", b"by the descriptor", b"an error", b"a child"]


class Output:
    """The socket on which Elixir takes what a worker writes."""

    def __init__(self, path):
        self.path = str(path)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen()
        self._listening.settimeout(LIMIT)

    def lines(self):
        connection, _ = self._listening.accept()
        connection.settimeout(None)
        self._listening.close()
        self._stream = connection.makefile("rb")
        connection.close()
        return lines_of(self._stream)


@pytest.fixture
def output(tmp_path):
    return Output(tmp_path / "output")


def test_all_output_goes_to_the_socket_that_is_named(start, output):
    client = start(env={"SNAKEPIT_OUTPUT": output.path})
    lines = output.lines()
    client.call("say", {"message": "hello"})
    said = [lines.get(timeout=LIMIT).strip() for _ in range(4)]
    assert said == [b"hello", b"by the descriptor", b"an error", b"a child"]
    named = client.call("evaluate", {"code": "__import__('os').environ.get('SNAKEPIT_OUTPUT')"})
    assert named == {"result": None}
    client.call("log", {"message": "noted"}, request_id="r5")
    assert control(lines.get(timeout=LIMIT)) == {
        "event": "log",
        "level": "warning",
        "logger": "contract",
        "message": "noted",
        "request_id": "r5",
        "command": "log",
    }
    client.worker.process.stdin.close()
    assert lines.get(timeout=LIMIT) is None


def test_a_long_control_line_goes_in_pieces(start, output):
    client = start(env={"SNAKEPIT_OUTPUT": output.path})
    lines = output.lines()
    client.call("log", {"message": "é" * 3000})
    pieces = [lines.get(timeout=LIMIT)]
    while pieces[-1].startswith(b"\x1e+"):
        pieces.append(lines.get(timeout=LIMIT))
    assert max(map(len, pieces)) <= 4096
    joined = b"".join(piece.lstrip(b"\x1e+").rstrip(b"\n") for piece in pieces)
    assert json.loads(joined)["message"] == "é" * 3000


def test_the_end_under_a_stubborn_handler_is_told(start, output):
    client = start("--cancel-grace-ms", "50", env={"SNAKEPIT_OUTPUT": output.path})
    lines = output.lines()
    call = client.start("stubborn")
    assert client.health()["active_requests"] == 1
    call.cancel()
    report = control(lines.get(timeout=LIMIT))
    assert (report["event"], report["command"], report["how"]) == (
        "cancelled",
        "stubborn",
        "killed",
    )
    assert report["us"] >= 50_000
    event = control(lines.get(timeout=LIMIT))
    assert event["level"] == "warning"
    assert event["message"].startswith("stubborn went on for 50 ms after its cancellation")
    assert lines.get(timeout=LIMIT) is None


def test_the_last_words_of_a_crash_arrive(start, output):
    start(modules=["no_such_module"], env={"SNAKEPIT_OUTPUT": output.path})
    lines = output.lines()
    said = []
    while (line := lines.get(timeout=LIMIT)) is not None:
        said.append(line)
    assert said[0] == b"cannot import the module no_such_module:\n"
    assert b"ModuleNotFoundError" in said[-1]


def test_an_output_that_nobody_takes_does_no_harm(start, tmp_path):
    client = start(env={"SNAKEPIT_OUTPUT": str(tmp_path / "nobody")})
    assert client.call("ping")["status"] == "ok"
    client.worker.close()
    assert b"cannot send output to" in client.worker.process.stderr.readline()


def test_a_reply_that_nobody_reads_keeps_no_other_thread(start):
    client = start("--capacity", "1")
    with pytest.raises(queue.Empty):
        client.pending_for(1).replies.get(timeout=0)
    calls = [client.start("evaluate", {"code": "'x' * 10**6"}) for _ in range(20)]
    assert client.health()["healthy"]
    assert all(len(call.result()["result"]) == 10**6 for call in calls)
