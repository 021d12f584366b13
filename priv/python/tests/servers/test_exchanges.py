"""Streams with input, and with exact credit."""

import time

import grpc
import pytest
from counting import settled
from workers import CallFailed


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
