"""Workers as real processes, and the clients that call them."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import LIMIT

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "grpc_bridge.py"


class CallFailed(Exception):
    """An error reply."""

    def __init__(self, error, detail):
        super().__init__(error)
        self.error = error
        self.detail = detail
        self.kind = detail["kind"]


def failure(call, *args, **fields):
    """The error that the call ends with."""
    with pytest.raises(CallFailed) as failed:
        call(*args, **fields)
    return failed.value


class Beacon:
    """Where handlers send messages to the test."""

    def __init__(self, path):
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(LIMIT)

    def next(self):
        return self._socket.recv(1000).decode()

    def expect(self, message):
        assert self.next() == message

    def close(self):
        self._socket.close()


class Worker:
    """A worker process and its pipes."""

    def __init__(self, *arguments, transport, modules=("contract_handlers",), env=None, **options):
        handlers = ["--path", str(Path(__file__).parent)]
        for module in modules:
            handlers += ["--module", module]
        self.process = subprocess.Popen(
            [sys.executable, "-u", SCRIPT, "--transport", transport, *handlers, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            **options,
        )

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def status(self):
        """Waits for its end."""
        return self.process.wait(LIMIT)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()


def lines_of(stream):
    """The lines of a stream as they come, in a queue that ends with None."""
    lines = queue.Queue()

    def read():
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def control(line):
    """The event of a control line; None if it is text."""
    return json.loads(line[1:]) if line.startswith(b"\x1e") else None


def alive(pid):
    """Whether the process runs; a dead one that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


class StdioClient:
    """Calls a stdio worker."""

    streams = False

    def __init__(self, worker, transport):
        self.worker = worker
        if transport == "stdio-json":
            self._pack, self._unpack = lambda value: json.dumps(value).encode(), json.loads
        else:
            from snakepit_bridge import _native

            self._pack, self._unpack = _native.pack, _native.unpack
        self._id = 0
        self._lock = threading.Lock()
        self._replies = {}
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, command, args=None, **fields):
        return self.start(command, args, **fields).result()

    def start(self, command, args=None, **fields):
        pending = self._pending()
        self.send({"id": pending.id, "command": command, "args": args or {}, **fields})
        return pending

    def health(self):
        pending = self._pending()
        self.send({"id": pending.id, "type": "health", "command": "ping", "args": {}})
        return pending.result()

    def send(self, message):
        self.send_bytes(self._pack(message))

    def send_bytes(self, data):
        with self._lock:
            self.worker.process.stdin.write(len(data).to_bytes(4, "big") + data)
            self.worker.process.stdin.flush()

    def pending_for(self, id):
        pending = _Pending(self, id)
        self._replies[id] = pending.replies
        return pending

    def close(self):
        pass

    def _pending(self):
        with self._lock:
            self._id += 1
            return self.pending_for(self._id)

    def _read(self):
        while True:
            header = self.worker.process.stdout.read(4)
            if len(header) < 4:
                break
            reply = self._unpack(self.worker.process.stdout.read(int.from_bytes(header, "big")))
            self._replies.pop(reply["id"]).put(reply)
        for replies in self._replies.values():
            replies.put(None)


class _Pending:
    def __init__(self, client, id):
        self.id = id
        self.replies = queue.Queue()
        self._client = client

    def result(self):
        reply = self.replies.get(timeout=LIMIT)
        assert reply is not None, "the worker has gone"
        if reply["success"]:
            return reply["result"]
        raise CallFailed(reply["error"], reply["detail"])

    def cancel(self):
        self._client.send({"id": self.id, "type": "cancel"})


def ready(worker):
    """Waits until a gRPC worker says that it listens: its address, and its further lines."""
    lines = lines_of(worker.process.stdout)
    while (line := lines.get(timeout=LIMIT)) is not None:
        event = control(line)
        if event and event["event"] == "ready":
            assert event["os_pid"] == worker.pid
            return event["address"], lines
    raise AssertionError("the worker ended before it listened")
