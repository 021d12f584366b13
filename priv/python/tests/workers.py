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


class GrpcClient:
    """Calls a gRPC worker, as any program that has the contract could."""

    streams = True

    def __init__(self, worker, address, codec="msgpack", token=None):
        import grpc

        from snakepit_bridge.grpc import snakepit_pb2 as pb
        from snakepit_bridge.grpc import snakepit_pb2_grpc as stubs

        self.worker = worker
        self.address = address
        self.pb = pb
        self.codec = {"json": pb.CODEC_JSON, "msgpack": pb.CODEC_MSGPACK}[codec]
        self.metadata = [("authorization", f"Bearer {token}")] if token else None
        size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        # Channels to one address with the same options share a connection unless told otherwise.
        options = [*size, ("grpc.use_local_subchannel_pool", 1)]
        if address.startswith("unix:"):
            # grpc makes an authority of the path that the HTTP/2 library of Rust does not take.
            options.append(("grpc.default_authority", "localhost"))
        self.channel = grpc.insecure_channel(address.replace("http://", ""), options)
        self.stub = stubs.SnakepitBridgeStub(self.channel)

    def call(self, command, args=None, **fields):
        return self.start(command, args, **fields).result()

    def start(self, command, args=None, **fields):
        request, in_session = self.request(command, args, **fields)
        method = self.stub.ExecuteInSession if in_session else self.stub.Execute
        return _Rpc(self, method.future(request, metadata=self.metadata))

    def stream(self, command, args=None, **fields):
        """A server stream: an iterator of chunks, which can be cancelled."""
        request, in_session = self.request(command, args, **fields)
        method = self.stub.ExecuteInSessionStream if in_session else self.stub.ExecuteStream
        return Chunks(self, method(request, metadata=self.metadata))

    def exchange(self, command, args=None, **start):
        """A stream with input: send to it, read from it."""
        return Exchange(self, self.start_message(command, args, **start))

    def request(self, command, args=None, session_id=None, **fields):
        values = {
            "command": command,
            "args": self.entries(args or {}),
            "codec": self.codec,
            **fields,
        }
        if session_id is None:
            return self.pb.ExecuteRequest(**values), False
        return self.pb.SessionRequest(session_id=session_id, **values), True

    def start_message(self, command, args=None, **fields):
        start = self.pb.StreamStart(
            command=command, args=self.entries(args or {}), codec=self.codec, **fields
        )
        return self.pb.StreamRequest(start=start)

    def chunk_message(self, chunk):
        return self.pb.StreamRequest(chunk=self.pb.StreamChunk(chunk=self.entries(chunk)))

    def health(self):
        health = self.stub.Health(self.pb.HealthRequest(), timeout=LIMIT, metadata=self.metadata)
        return {field.name: getattr(health, field.name) for field in health.DESCRIPTOR.fields}

    def entries(self, values):
        return {name: self._write(value) for name, value in values.items()}

    def values(self, entries, codec):
        read = self._read_json if codec == self.pb.CODEC_JSON else self._read_msgpack
        return {name: read(value) for name, value in entries.items()}

    def close(self):
        self.channel.close()

    def _write(self, value):
        if self.codec == self.pb.CODEC_MSGPACK:
            from snakepit_bridge import _native

            return _native.pack(value)
        return value if isinstance(value, bytes) else json.dumps(value).encode()

    def _read_msgpack(self, value):
        from snakepit_bridge import _native

        return _native.unpack(value)

    def _read_json(self, value):
        try:
            return json.loads(value)
        except ValueError:
            return value


def _failed(message):
    names = [field.name for field in message.detail.DESCRIPTOR.fields]
    return CallFailed(message.error, {name: getattr(message.detail, name) for name in names})


class _Rpc:
    def __init__(self, client, future):
        self._client = client
        self._future = future

    def result(self):
        response = self._future.result(LIMIT)
        if response.success:
            return self._client.values(response.result, response.codec)
        raise _failed(response)

    def cancel(self):
        self._future.cancel()


class Chunks:
    """The chunks of a stream, each with ``is_final``. An error is raised after what came before."""

    def __init__(self, client, rpc):
        self.rpc = rpc
        self._client = client

    def __iter__(self):
        return self

    def __next__(self):
        message = next(self.rpc)
        if message.error:
            raise _failed(message)
        chunk = self._client.values(message.chunk, message.codec)
        return {**chunk, "is_final": True} if message.is_final else chunk

    def cancel(self):
        self.rpc.cancel()


class Exchange:
    """A stream whose input the test sends message by message."""

    def __init__(self, client, start):
        self._client = client
        self._requests = queue.Queue()
        self._requests.put(start)
        # Taken from the queue by a thread of grpc.
        requests = iter(self._requests.get, None)
        self.rpc = client.stub.ExecuteBidiStream(requests, metadata=client.metadata)

    def send(self, chunk):
        self._requests.put(self._client.chunk_message(chunk))

    def ack(self, chunks):
        self._requests.put(self._client.pb.StreamRequest(ack=chunks))

    def half_close(self):
        self._requests.put(self._client.pb.StreamRequest(half_close=self._client.pb.HalfClose()))

    def abort(self, reason):
        self._requests.put(self._client.pb.StreamRequest(abort=reason))

    def end(self):
        """Ends the request stream."""
        self._requests.put(None)

    def cancel(self):
        self.rpc.cancel()
        self.end()

    def next(self):
        """The next message: ``("chunk", values)``, ``("final", values)`` or ``("ack", n)``."""
        message = next(self.rpc)
        if message.error:
            raise _failed(message)
        values = self._client.values(message.chunk, message.codec)
        if message.is_final:
            return "final", values
        return ("ack", message.ack) if message.ack else ("chunk", values)


def ready(worker):
    """Waits until a gRPC worker says that it listens: its address, and its further lines."""
    lines = lines_of(worker.process.stdout)
    while (line := lines.get(timeout=LIMIT)) is not None:
        event = control(line)
        if event and event["event"] == "ready":
            assert event["os_pid"] == worker.pid
            return event["address"], lines
    raise AssertionError("the worker ended before it listened")
