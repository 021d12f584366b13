"""Chunks out, where HTTP/2 is all that holds a generator back."""

import pytest
from counting import settled
from grpc_client import GrpcClient
from workers import CallFailed


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
