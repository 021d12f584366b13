"""A plain client of gRPC workers, as any program that has the contract could be one."""

from __future__ import annotations

import json
import queue

import grpc
from support import LIMIT
from workers import CallFailed

from snakepit_bridge import _native
from snakepit_bridge.grpc import snakepit_pb2 as pb
from snakepit_bridge.grpc import snakepit_pb2_grpc as stubs


class GrpcClient:
    """Calls a gRPC worker, as any program that has the contract could."""

    streams = True

    def __init__(self, worker, address, codec="msgpack", token=None):
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
            return _native.pack(value)
        return value if isinstance(value, bytes) else json.dumps(value).encode()

    def _read_msgpack(self, value):
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
