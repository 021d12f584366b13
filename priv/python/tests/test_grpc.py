"""What gRPC workers do beyond the contract of all: a plain grpcio client calls each of them."""

import contextlib
import os
import socket
import stat
import subprocess
import time

import grpc
import pytest
from support import LIMIT
from workers import Beacon, CallFailed, GrpcClient, Worker, ready


@pytest.fixture
def beacon(tmp_path):
    beacon = Beacon(tmp_path / "beacon")
    yield beacon
    beacon.close()


@pytest.fixture(params=["grpcio", "native"])
def transport(request):
    return request.param


@pytest.fixture
def run(transport, beacon):
    """Starts a worker: its process and its address."""
    workers = []

    def run(*arguments, **options):
        env = {"SNAKEPIT_TEST_BEACON": beacon.path, **options.pop("env", {})}
        worker = Worker(*arguments, transport=transport, env=env, **options)
        workers.append(worker)
        return worker, ready(worker)[0]

    yield run
    for worker in workers:
        worker.close()


@pytest.fixture(params=["unix", "tcp"])
def address(request, tmp_path):
    """The options for an address of either kind."""
    if request.param == "unix":
        return ["--socket", str(tmp_path / "worker.sock")]
    return ["--port", "0"]


@pytest.fixture
def client(run, tmp_path):
    worker, address = run("--socket", str(tmp_path / "worker.sock"))
    client = GrpcClient(worker, address)
    yield client
    client.close()


def made(client):
    """How many chunks the worker's generators have made so far."""
    return client.call("evaluate", {"code": "sys.modules['contract_handlers'].made"})["result"]


def settled(client):
    """The same once it stands still."""
    last = made(client)
    while True:
        time.sleep(0.1)
        now = made(client)
        if now == last:
            return now
        last = now


# A plain client: JSON, five methods, no extensions


def test_a_plain_client_calls_and_streams(run, address):
    worker, at = run(*address)
    client = GrpcClient(worker, at, codec="json")
    sent = {"text": b"plain", "number": b"5", "list": b"[1,2]", "bytes": b"\xff\x00"}
    reply = client.stub.Execute(client.pb.ExecuteRequest(command="echo", args=sent))
    assert reply.success
    assert reply.timestamp > 0
    assert dict(reply.result) == {**sent, "list": reply.result["list"]}
    assert reply.result["list"].replace(b" ", b"") == b"[1,2]"
    chunks = list(client.stub.ExecuteStream(client.pb.ExecuteRequest(command="ping_stream")))
    assert [chunk.is_final for chunk in chunks] == [False] * 4 + [True]
    assert chunks[0].chunk["message"] == b"ping 1"
    for number in (b"1", b"2"):
        session = client.pb.SessionRequest(session_id="s", command="count")
        assert client.stub.ExecuteInSession(session).result["result"] == number
    session = client.pb.SessionRequest(session_id="s", command="session_numbers")
    assert [c.is_final for c in client.stub.ExecuteInSessionStream(session)] == [False, True]
    failed = client.stub.Execute(client.pb.ExecuteRequest(command="no_such"))
    assert not failed.success
    assert failed.error.startswith("unknown command 'no_such'")
    client.close()


def test_values_that_json_has_no_form_for(client):
    plain = GrpcClient(client.worker, client.address, codec="json")
    for code, message in [
        ("{'a': [1, object()]}", "result.a[1]: an object of type object cannot be sent"),
        ("{'a': float('nan')}", "result.a: the float nan cannot be sent as JSON"),
        ("{'a': [b'x']}", "result.a[0]: bytes inside of other values cannot be sent as JSON"),
    ]:
        with pytest.raises(CallFailed) as failed:
            plain.call("evaluate", {"code": code.encode()})
        assert failed.value.kind == "encoding"
        assert message in failed.value.error
    code = b"{'a': [__import__('numpy').int8(5), __import__('datetime').date(2020, 1, 2)]}"
    assert plain.call("evaluate", {"code": code}) == {"a": [5, "2020-01-02"]}
    plain.close()


def test_reflection_lists_the_service(run, address):
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    worker, at = run(*address)
    client = GrpcClient(worker, at)
    database = ProtoReflectionDescriptorDatabase(client.channel)
    assert "snakepit.SnakepitBridge" in database.get_services()
    file = database.FindFileContainingSymbol("snakepit.SnakepitBridge")
    assert "ExecuteBidiStream" in [method.name for method in file.service[0].method]
    client.close()


def test_the_standard_health_service_answers(client):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", "snakepit.SnakepitBridge"):
        reply = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_what_the_worker_announces(client, transport):
    health = client.health()
    assert list(health["codecs"]) == [client.pb.CODEC_JSON, client.pb.CODEC_MSGPACK]
    assert health["credit"]
    assert health["lane"] == (transport == "native")


# Server streams


@pytest.mark.parametrize("command", ["numbers", "numbers_on_loop"])
def test_a_stream_ends_with_its_final_chunk(client, command):
    chunks = list(client.stream(command, {"count": 200}))
    assert chunks[:-1] == [{"n": n} for n in range(1, 201)]
    assert chunks[-1] == {"is_final": True, **({"last": 200} if command == "numbers" else {})}


def test_a_stream_that_fails_after_some_chunks(client):
    chunks = client.stream("fail_after", {"count": 3})
    assert [next(chunks) for _ in range(3)] == [{"n": n} for n in range(3)]
    with pytest.raises(CallFailed) as failed:
        next(chunks)
    assert failed.value.detail["type"] == "LookupError"
    assert "contract_handlers.py" in failed.value.detail["traceback"].splitlines()[1]
    with pytest.raises(StopIteration):
        next(chunks)


def test_a_chunk_that_cannot_be_sent_ends_the_stream(client, beacon):
    chunks = client.stream("bad_chunk")
    assert next(chunks) == {"n": 1}
    with pytest.raises(CallFailed) as failed:
        next(chunks)
    assert failed.value.error == "chunk.n[1]: an object of type set cannot be sent to Elixir"
    beacon.expect("bad chunk")


def test_a_chunk_over_the_limit_is_too_large(run, tmp_path):
    worker, at = run("--socket", str(tmp_path / "worker.sock"), "--max-message-size", "100000")
    client = GrpcClient(worker, at)
    for command in ("numbers", "numbers_on_loop"):
        with pytest.raises(CallFailed) as failed:
            list(client.stream(command, {"count": 1, "size": 200_000}))
        assert failed.value.kind == "too_large"
    assert len(list(client.stream("numbers", {"count": 1, "size": 99_000}))) == 2
    client.close()


def test_what_is_no_stream_is_not_streamed(client):
    for command, call in [("ping", "execute"), ("total", "execute_client_stream")]:
        with pytest.raises(CallFailed) as failed:
            list(client.stream(command))
        assert failed.value.kind == "invalid_arguments"
        assert failed.value.error.endswith(f"call it with {call}")


def test_arguments_of_a_stream_that_do_not_fit(client):
    with pytest.raises(CallFailed) as failed:
        list(client.stream("numbers"))
    assert failed.value.kind == "invalid_arguments"


@pytest.mark.parametrize("command", ["numbers", "numbers_on_loop"])
def test_a_consumer_that_stalls_stops_the_generator(client, beacon, command):
    chunks = client.stream(command, {"count": 100_000, "size": 10_000})
    next(chunks)
    standing = settled(client)
    assert standing < 10_000  # 100 MB; what the sockets and windows hold is less
    for _ in range(100):
        next(chunks)
    chunks.cancel()
    beacon.expect("closed")
    assert client.call("ping")["status"] == "ok"


@pytest.mark.parametrize("command", ["numbers", "numbers_on_loop"])
def test_streams_that_are_cancelled_unread_take_no_thread_with_them(client, beacon, command):
    for _ in range(5):
        streams = [client.stream(command, {"count": 10**9, "size": 10_000}) for _ in range(10)]
        for stream in streams:
            next(stream)
        for stream in streams:
            stream.cancel()
        for _ in streams:
            beacon.expect("closed")
    # As many more, of which ten run at once.
    waiting = [client.start("wait_for_release", {"name": "w"}) for _ in range(10)]
    for _ in waiting:
        beacon.expect("w")
    client.call("release")
    assert [call.result()["result"] for call in waiting] == ["w"] * 10
    for _ in range(50):
        assert len(list(client.stream(command, {"count": 10}))) == 11
        beacon.expect("closed")
    assert client.health()["active_requests"] == 0


def test_streams_of_a_client_that_has_gone_are_closed(client, beacon):
    other = GrpcClient(client.worker, client.address)
    streams = [other.stream("numbers", {"count": 10**9, "size": 10_000}) for _ in range(10)]
    for stream in streams:
        next(stream)
    other.close()
    for _ in streams:
        beacon.expect("closed")
    assert client.call("ping")["status"] == "ok"


# Exchanges, with exact credit


def test_no_more_chunks_are_out_than_the_window_allows(client, beacon):
    stream = client.exchange("numbers", {"count": 100}, window=4, shape=1)
    assert [stream.next() for _ in range(4)] == [("chunk", {"n": n}) for n in range(1, 5)]
    assert settled(client) == 5  # the next is made and waits
    stream.ack(2)
    assert [stream.next()[1]["n"] for _ in range(2)] == [5, 6]
    assert settled(client) == 7
    stream.ack(100)
    assert [stream.next()[1]["n"] for _ in range(4)] == [7, 8, 9, 10]
    stream.cancel()
    beacon.expect("closed")


def test_no_more_bytes_are_out_than_the_buffer_allows(client, beacon):
    start = {"window": 100, "max_buffer": 1000, "shape": 1}
    stream = client.exchange("numbers", {"count": 100, "size": 400}, **start)
    assert [stream.next()[1]["n"] for _ in range(3)] == [1, 2, 3]
    assert settled(client) == 4
    stream.ack(1)
    assert stream.next()[1]["n"] == 4
    stream.cancel()
    beacon.expect("closed")


@pytest.mark.parametrize("command", ["double", "double_on_loop"])
def test_chunks_go_both_ways_and_are_acknowledged(client, command):
    stream = client.exchange(command, window=4, shape=3)
    acknowledged, received = 0, []
    for n in range(50):
        stream.send({"n": n})
        while len(received) <= n:
            kind, value = stream.next()
            if kind == "ack":
                acknowledged += value
            else:
                received.append(value["n"])
                stream.ack(1)
        assert n + 1 - acknowledged <= 4
    assert received == [2 * n for n in range(50)]
    stream.half_close()
    while stream.next()[0] != "final":
        pass


@pytest.mark.parametrize("command", ["double", "double_on_loop"])
def test_input_that_ends_without_being_complete_means_that_the_caller_has_gone(
    client, beacon, command
):
    stream = client.exchange(command, window=4)
    stream.send({"n": 1})
    while stream.next()[0] != "chunk":
        pass
    stream.end()
    assert beacon.next() in ("Cancelled", "CancelledError")  # whichever is first on the loop
    assert client.call("ping")["status"] == "ok"


@pytest.mark.parametrize("command", ["double", "double_on_loop"])
def test_input_that_fails_is_told_to_the_handler(client, beacon, command):
    stream = client.exchange(command, window=4)
    stream.abort("the file ended")
    with pytest.raises(CallFailed) as failed:
        while True:
            stream.next()
    assert failed.value.error == "the file ended"
    beacon.expect("InputFailed")


def test_a_caller_that_sends_more_than_its_window_is_stopped(client, beacon):
    stream = client.exchange("read_one", window=2)
    stream.send({"n": 0})
    beacon.expect("one")
    for n in range(5):
        stream.send({"n": n})
    beacon.expect("cancelled")
    assert client.call("ping")["status"] == "ok"


@pytest.mark.parametrize("command", ["total", "total_on_loop"])
def test_a_client_stream_in_both_of_its_methods(client, command):
    stream = client.exchange(command, window=10)
    out = 0
    for n in range(100):
        while out == 10:
            out -= stream.next()[1]
        stream.send({"n": n})
        out += 1
    stream.half_close()
    while (message := stream.next())[0] == "ack":
        pass
    assert message == ("final", {"result": sum(range(100))})
    chunks = [client.chunk_message({"n": n}) for n in range(100)]
    start = client.start_message(command, shape=2)
    response = client.stub.ExecuteClientStream(iter([start, *chunks]))
    assert client.values(response.result, response.codec) == {"result": sum(range(100))}


@pytest.mark.parametrize("round", range(10))
def test_a_reset_is_not_taken_for_the_end_of_the_input(client, beacon, round):
    stream = client.exchange("collect")
    beacon.expect("collecting")
    stream.send({"n": 1})
    beacon.expect("one")
    stream.cancel()
    beacon.expect("Cancelled")


def test_input_without_credit_is_read_no_faster_than_the_handler_takes_it(client, beacon):
    sent = []

    def requests():
        yield client.start_message("read_slowly")
        for n in range(10_000):
            sent.append(n)
            yield client.chunk_message({"n": n, "filling": b"x" * 10_000})

    rpc = client.stub.ExecuteBidiStream(requests())
    beacon.expect("read 1")
    before = -1
    while len(sent) > before:
        before = len(sent)
        time.sleep(0.1)
    assert before < 5000
    rpc.cancel()


def test_a_stream_begins_with_its_start(client):
    for requests in ([], [client.chunk_message({"n": 1})]):
        for method in (client.stub.ExecuteBidiStream, client.stub.ExecuteClientStream):
            with pytest.raises(grpc.RpcError) as failed:
                reply = method(iter(requests))
                list(reply)
            assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


# Deadlines


def test_the_deadline_of_grpc_stops_a_handler(client, beacon):
    request, _ = client.request("busy")
    with pytest.raises(grpc.RpcError) as failed:
        client.stub.Execute(request, timeout=0.3)
    assert failed.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
    beacon.expect("busy")
    beacon.expect("Cancelled")
    assert client.call("ping")["status"] == "ok"


# Who may call


def test_the_socket_is_its_owners_alone(client, tmp_path):
    assert stat.S_IMODE(os.stat(tmp_path / "worker.sock").st_mode) == 0o600


def assert_refused(stranger):
    stub, metadata = stranger.stub, stranger.metadata
    request = stranger.request("ping")[0]
    start = stranger.start_message("total")
    calls = [
        lambda: stub.Execute(request, metadata=metadata),
        lambda: list(stub.ExecuteStream(request, metadata=metadata)),
        lambda: stub.ExecuteClientStream(iter([start]), metadata=metadata),
        lambda: list(stub.ExecuteBidiStream(iter([start]), metadata=metadata)),
    ]
    for call in calls:
        with pytest.raises(grpc.RpcError) as failed:
            call()
        assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_without_the_token_nobody_is_served(run):
    worker, at = run("--port", "0", env={"SNAKEPIT_TOKEN": "secret"})
    assert at.startswith("http://127.0.0.1:")
    for token in (None, "wrong", "secret2"):
        stranger = GrpcClient(worker, at, token=token)
        assert_refused(stranger)
        stranger.close()
    client = GrpcClient(worker, at, token="secret")
    assert client.call("ping")["status"] == "ok"
    assert len(list(client.stream("numbers", {"count": 2}))) == 3
    named = client.call("evaluate", {"code": "__import__('os').environ.get('SNAKEPIT_TOKEN')"})
    assert named == {"result": None}
    client.close()


def test_a_port_that_is_taken_is_told(transport):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        worker = Worker("--port", port, transport=transport, stderr=subprocess.PIPE)
        assert worker.status() == 1
        assert f"cannot listen on 127.0.0.1:{port}".encode() in worker.process.stderr.read()
        worker.process.stderr.close()
        worker.close()


# Bad input


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\x00\x00\x00\x00\x00",
        os.urandom(1000),
    ],
    ids=["nothing", "HTTP/1", "no frames", "a frame without end", "noise"],
)
def test_strangers_at_the_port_do_no_harm(run, said):
    worker, at = run("--port", "0")
    client = GrpcClient(worker, at)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", int(at.rpartition(":")[2]))) as stranger:
            stranger.settimeout(LIMIT)
            stranger.sendall(said)
            # It may be closed already.
            with contextlib.suppress(OSError):
                stranger.shutdown(socket.SHUT_WR)
                while said and stranger.recv(1000):
                    pass
        assert client.call("ping")["status"] == "ok"
    client.close()


def test_a_request_over_the_limit_is_refused(run, tmp_path):
    worker, at = run("--socket", str(tmp_path / "worker.sock"), "--max-message-size", "100000")
    client = GrpcClient(worker, at)
    with pytest.raises(grpc.RpcError) as failed:
        client.call("echo", {"value": b"x" * 300_000})
    assert failed.value.code() in (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.OUT_OF_RANGE,
    )
    assert client.call("ping")["status"] == "ok"
    client.close()


def test_arguments_that_are_no_messagepack(client):
    request = client.pb.ExecuteRequest(command="echo", args={"a": b"\xc1"}, codec=1)
    reply = client.stub.Execute(request)
    assert not reply.success
    assert reply.detail.kind == "encoding"
    assert reply.error.startswith("args.a: ")
    assert client.call("ping")["status"] == "ok"
