"""A client that has the contract and nothing of ours: JSON, five methods, no extensions."""

import pytest
from grpc_client import GrpcClient
from workers import CallFailed


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
        ("{'a': __import__('numpy').zeros(2)}", "result.a: an array cannot be sent as JSON; send"),
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
