"""Who may call, until when, and what becomes of what is no call."""

import contextlib
import os
import socket
import stat
import subprocess

import grpc
import pytest
from grpc_client import GrpcClient
from support import LIMIT
from workers import Worker


def test_the_deadline_of_grpc_stops_a_handler(client, beacon):
    request, _ = client.request("busy")
    with pytest.raises(grpc.RpcError) as failed:
        client.stub.Execute(request, timeout=0.3)
    assert failed.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
    beacon.expect("busy")
    beacon.expect("Cancelled")
    assert client.call("ping")["status"] == "ok"


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
