"""What a native worker does while a handler that it knows as brief takes long for once.

Whoever has such a call drives the sockets itself, so somebody else has to while it runs.
"""

import os
import signal
import time
from pathlib import Path
from queue import Queue

import pytest
from grpc_client import GrpcClient
from support import LIMIT
from workers import Worker, alive, failure, ready

from snakepit_bridge.grpc import snakepit_pb2 as pb

pytest.importorskip("snakepit_bridge._native")

#: After so many calls a handler is known as brief, even if the first took long.
MANY = 100


class Lane:
    """Calls on a lane of their own."""

    def __init__(self, client):
        self._client = client
        self._requests = Queue()
        self._taken = Queue()
        self._replies = client.stub.Lane(self._sent(), timeout=LIMIT)

    def call(self, id, command, **args):
        request, _ = self._client.request(command, args)
        self._requests.put(pb.LaneRequest(id=id, execute=request))

    def cancel(self, id):
        self._requests.put(pb.LaneRequest(id=id, cancel=pb.LaneCancel()))

    def reply(self):
        """The id of the next reply, and its result."""
        reply = next(self._replies)
        response = reply.response
        assert response.success, response.error
        return reply.id, self._client.values(response.result, response.codec).get("result")

    def flush(self):
        """Waits until all requests are with the system."""
        self._requests.put(None)
        while self._taken.get(timeout=LIMIT) is not None:
            pass

    def _sent(self):
        # The next is taken once the one before is sent. The lane stays open after the last.
        for request in iter(self._requests.get, None):
            self._taken.put(request)
            yield request
        self._taken.put(None)
        self._requests.get()


@pytest.fixture
def start(beacon, tmp_path):
    """Starts a worker, which knows both gates as brief: its client."""
    clients = []

    def start(*arguments):
        worker = Worker(
            *arguments,
            "--socket",
            str(tmp_path / f"{len(clients)}.sock"),
            transport="native",
            modules=["brief_handlers"],
            env={"SNAKEPIT_TEST_BEACON": beacon.path},
        )
        client = GrpcClient(worker, ready(worker)[0])
        clients.append(client)
        for _ in range(MANY):
            client.call("gate")
            client.call("gate_on_main_thread")
        return client

    yield start
    for client in clients:
        client.close()
        client.worker.close()


@pytest.fixture
def client(start):
    return start()


@pytest.fixture
def fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@pytest.fixture
def second_fifo(tmp_path):
    os.mkfifo(tmp_path / "second")
    return tmp_path / "second"


@pytest.mark.parametrize("command", ["gate", "gate_on_main_thread"])
def test_other_calls_of_the_lane_are_served_while_it_blocks(client, beacon, fifo, command):
    lane = Lane(client)
    lane.call(1, command, fifo=str(fifo))
    beacon.expect("waiting")
    for id in range(2, 10):
        lane.call(id, "gate")
        assert lane.reply() == (id, "")
    fifo.write_text("now")
    assert lane.reply() == (1, "now")


def test_the_health_is_told_while_it_blocks(client, beacon, fifo):
    call = client.start("gate", {"fifo": str(fifo)})
    beacon.expect("waiting")
    assert client.health()["active_requests"] == 1
    fifo.write_text("now")
    assert call.result() == {"result": "now"}


def test_it_is_cancelled_while_it_runs(client, beacon):
    lane = Lane(client)
    lane.call(1, "gate", spin=True)
    beacon.expect("spinning")
    lane.cancel(1)
    beacon.expect("Cancelled")
    lane.call(2, "gate")
    assert lane.reply() == (2, "")


def test_with_one_thread_its_cancellation_makes_room_for_another(start, beacon, fifo):
    client = start("--capacity", "1")
    lane = Lane(client)
    lane.call(1, "gate", fifo=str(fifo))
    beacon.expect("waiting")
    lane.call(2, "gate")
    while client.health()["active_requests"] < 2:
        pass
    lane.cancel(1)  # it stands in an open and cannot be interrupted
    assert lane.reply() == (2, "")
    fifo.write_text("now")
    for id in range(3, 3 + MANY):
        lane.call(id, "gate")
        assert lane.reply() == (id, "")


@pytest.mark.parametrize("command", ["gate", "gate_on_main_thread", "long"])
@pytest.mark.parametrize("capacity", ["1", "4"])
def test_an_answer_is_sent_before_a_call_that_blocks_in_the_same_burst(
    start, beacon, fifo, command, capacity
):
    client = start("--capacity", capacity)
    lane = Lane(client)
    lane.call(1, "gate")
    assert lane.reply() == (1, "")
    client.worker.signal(signal.SIGSTOP)
    lane.call(2, "gate")
    lane.call(3, command, fifo=str(fifo))
    lane.flush()
    client.worker.signal(signal.SIGCONT)
    assert lane.reply() == (2, "")
    beacon.expect("long" if command == "long" else "waiting")
    fifo.write_text("now")
    assert lane.reply() == (3, "now")


def test_a_stream_and_brief_calls_go_on_side_by_side(client):
    numbers = client.stream("numbers", {"count": 1_000_000})
    lane = Lane(client)
    for n in range(1, 1 + MANY):
        lane.call(n, "gate")
        assert next(numbers) == {"n": n}
        assert lane.reply() == (n, "")
    numbers.cancel()


def test_the_health_is_told_while_a_handler_holds_the_interpreter(
    client, beacon, fifo, second_fifo
):
    holding = client.start("long", {"fifo": str(fifo), "then_hold": str(second_fifo)})
    beacon.expect("long")
    # Another thread waits for calls now, and after some time nobody looks after it any more.
    client.call("gate")
    quiet = time.monotonic() + 0.1
    while time.monotonic() < quiet:
        client.health()
    fifo.write_text("now")
    beacon.expect("holding")
    waiting = client.start("gate")
    while client.health()["active_requests"] < 2:
        pass
    for _ in range(10):
        client.health()
    second_fifo.write_text("x")
    assert holding.result() == {"result": "now"}
    assert waiting.result() == {"result": ""}


def test_an_idle_worker_sleeps_whatever_it_has_served(client, beacon, fifo):
    for command in ("gate", "long"):
        call = client.start(command, {"fifo": str(fifo)})
        beacon.next()
        fifo.write_text("now")
        assert call.result() == {"result": "now"}
        assert client.call("gate") == {"result": ""}
    # What follows a call dies away in milliseconds.
    asleep = [wake_ups(client.worker.pid, 0.5) for _ in range(2)]
    assert min(asleep) < 50


def wake_ups(pid, seconds):
    """How often the threads of a process wake up in that time."""
    before = switches(pid)
    time.sleep(seconds)
    return switches(pid) - before


def switches(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


def test_a_worker_that_is_told_to_stop_lets_it_finish(client, beacon, fifo):
    call = client.start("gate", {"fifo": str(fifo)})
    beacon.expect("waiting")
    client.worker.signal(signal.SIGTERM)
    while client.health()["healthy"]:
        pass
    assert failure(client.call, "gate").kind == "draining"
    fifo.write_text("now")
    assert call.result() == {"result": "now"}
    beacon.expect("on_stop")
    assert client.worker.status() == 0


def test_a_worker_that_is_told_to_stop_waits_no_longer_than_it_may(start, beacon, fifo):
    client = start("--shutdown-timeout-ms", "50")
    call = client.start("gate", {"fifo": str(fifo)})
    beacon.expect("waiting")
    client.worker.signal(signal.SIGTERM)
    beacon.expect("on_stop")
    assert client.worker.status() == 0
    del call


def test_a_child_that_it_forks_serves_nobody(client):
    child = client.call("gate", {"fork": True})["result"]
    for _ in range(MANY):
        assert client.call("gate") == {"result": ""}
    deadline = time.monotonic() + LIMIT
    while alive(child):
        assert time.monotonic() < deadline
