"""The native worker as another implementation of gRPC sees it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from queue import Queue

import grpc
import pytest
from support import LIMIT

from snakepit_bridge.grpc import snakepit_pb2 as pb
from snakepit_bridge.grpc.snakepit_pb2_grpc import SnakepitBridgeStub

pytest.importorskip("snakepit_bridge._native")

SCRIPT = Path(__file__).parent.parent / "grpc_bridge.py"

HANDLERS = """
import threading
from snakepit_bridge import Cancelled, Context, client_stream, command

kept = []
held = threading.Event()


@command
def large(mib: int):
    return {"data": bytes(mib * 1024 * 1024)}


@command
def hold(fifo: str):
    held.set()
    with open(fifo) as end:
        return {"read": end.read()}


@command(main_thread=True)
def await_held():
    return {"held": held.wait(10)}


@command
def keep(ctx: Context):
    kept.append(ctx)
    return {}


@client_stream
def tell_end(chunks, read: str, ended: str):
    end = "complete"
    try:
        next(chunks)
        open(read, "w").close()
        for _ in chunks:
            pass
    except Cancelled:
        end = "gone"
    with open(ended, "w") as fifo:
        fifo.write(end)
    return {}
"""


def encode(args):
    return {name: json.dumps(value).encode() for name, value in args.items()}


class Worker:
    """A worker process and one lane to it."""

    def __init__(self, tmp_path, *options):
        (tmp_path / "lane_handlers.py").write_text(HANDLERS)
        socket = tmp_path / "w.sock"
        arguments = ["--socket", str(socket), "--path", str(tmp_path), "--module", "lane_handlers"]
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert json.loads(line.lstrip("\x1e"))["event"] == "ready"
        # The path that grpc would send as the authority is none by the rules of HTTP/2.
        authority = [("grpc.default_authority", "localhost")]
        self.channel = grpc.insecure_channel(f"unix:{socket}", authority)
        self.stub = SnakepitBridgeStub(self.channel)
        self._requests = Queue()
        self.replies = self.stub.Lane(iter(self._requests.get, None))

    def call(self, id, command, **args):
        request = pb.ExecuteRequest(command=command, args=encode(args))
        self._requests.put(pb.LaneRequest(id=id, execute=request))

    def cancel(self, id):
        self._requests.put(pb.LaneRequest(id=id, cancel=pb.LaneCancel()))

    def reply(self):
        """The id of the next reply, which must be a good one."""
        reply = next(self.replies)
        assert reply.response.success, reply.response.error
        return reply.id

    def accepts(self, id):
        """Whether the worker still takes calls, found out by one."""
        self.call(id, "ping")
        reply = next(self.replies)
        assert reply.id == id
        return reply.response.success

    def stop(self):
        self._requests.put(None)
        self.channel.close()
        self.process.kill()
        self.process.communicate(timeout=LIMIT)


class Fifo:
    """What a handler waits at until it is released."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = str(path)

    def release(self):
        open(self.path, "w").close()

    def read(self):
        with open(self.path) as end:
            return end.read()


@pytest.fixture
def fifos(tmp_path):
    return [Fifo(tmp_path / name) for name in ("a", "b")]


@pytest.fixture
def fifo(fifos):
    return fifos[0]


@pytest.fixture
def start(tmp_path):
    workers = []

    def start(*options):
        workers.append(Worker(tmp_path, *options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()


def test_the_parts_of_a_cancelled_reply_stop(start):
    worker = start()
    worker.call(1, "large", mib=32)
    assert next(worker.replies).id == 1
    worker.cancel(1)
    worker.call(2, "large", mib=32)
    parts = {1: [], 2: []}
    while not any(parts[2]):
        reply = next(worker.replies)
        parts[reply.id].append(reply.part.last)
    assert len(parts[2]) >= 512
    # What was on the way already still comes.
    assert not any(parts[1])
    assert len(parts[1]) < 256


def test_a_call_that_is_cancelled_while_it_waits_is_not_answered(start, fifo):
    worker = start("--capacity", "1")
    worker.call(1, "hold", fifo=fifo.path)
    worker.call(2, "await_held")
    assert worker.reply() == 2
    worker.call(3, "ping")
    worker.cancel(3)
    worker.call(4, "await_held")
    assert worker.reply() == 4
    worker.call(5, "ping")
    fifo.release()
    assert [worker.reply(), worker.reply()] == [1, 5]


def test_a_finished_call_is_over_even_if_its_context_is_kept(start):
    worker = start("--shutdown-timeout-ms", "60000")
    worker.call(1, "keep")
    assert worker.reply() == 1
    worker.process.terminate()
    assert worker.process.wait(LIMIT) == 0


@pytest.mark.parametrize("_", range(10))
def test_the_last_call_before_the_end_is_answered(start, fifo, _):
    worker = start("--shutdown-timeout-ms", "60000")
    worker.call(1, "hold", fifo=fifo.path)
    worker.call(2, "await_held")
    assert worker.reply() == 2
    worker.process.terminate()
    id = 3
    while worker.accepts(id):
        id += 1
    fifo.release()
    assert worker.reply() == 1
    assert worker.process.wait(LIMIT) == 0


@pytest.mark.parametrize("end", ["complete", "gone"])
def test_a_reset_is_not_the_end_of_the_input(start, fifos, end):
    worker = start()
    reads, ends = fifos
    for _ in range(20):
        requests = Queue()
        args = encode({"read": reads.path, "ended": ends.path})
        requests.put(pb.StreamRequest(start=pb.StreamStart(command="tell_end", args=args)))
        requests.put(pb.StreamRequest(chunk=pb.StreamChunk(chunk=encode({"n": 1}))))
        call = worker.stub.ExecuteClientStream.future(iter(requests.get, None))
        reads.read()
        if end == "gone":
            call.cancel()
        requests.put(None)
        assert ends.read() == end
