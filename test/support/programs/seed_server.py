"""The server of the first design, as it stands there: five methods, raw and JSON values, one
thread, `--port N` and nothing else. It knows nothing of Snakepit."""

import json
import os
import sys
import time
from concurrent import futures
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parents[3] / "priv/python"))

from snakepit_bridge.grpc import snakepit_pb2, snakepit_pb2_grpc


class SnakepitBridgeServicer(snakepit_pb2_grpc.SnakepitBridgeServicer):
    def __init__(self):
        self.started = time.monotonic()
        self.sessions = {}
        self.handlers = {
            "ping": self.handle_ping,
            "ping_stream": self.handle_ping_stream,
            "echo": self.handle_echo,
            "compute": self.handle_compute,
            "fail_stream": self.handle_fail_stream,
            "sleep": self.handle_sleep,
            "count": self.handle_count,
            "os_pid": self.handle_os_pid,
        }

    def handle_ping(self, args):
        return {"status": b"ok", "timestamp": json.dumps(1.5).encode()}

    def handle_ping_stream(self, args, streaming=False):
        for i in range(json.loads(args["count"])):
            yield {"message": f"Ping {i + 1}".encode(), "n": str(i).encode()}

    def handle_echo(self, args):
        return args

    def handle_compute(self, args):
        return {"sum": json.dumps(json.loads(args["a"]) + json.loads(args["b"])).encode()}

    def handle_fail_stream(self, args, streaming=False):
        yield {"n": b"1"}
        raise ValueError("in the middle")

    def handle_sleep(self, args):
        time.sleep(json.loads(args["ms"]) / 1000)
        return {}

    def handle_count(self, args):
        session = args.get("session", b"").decode()
        self.sessions[session] = self.sessions.get(session, 0) + 1
        return {"n": str(self.sessions[session]).encode()}

    def handle_os_pid(self, args):
        return {"os_pid": str(os.getpid()).encode(), "argv": json.dumps(sys.argv[1:]).encode()}

    def Execute(self, request, context):
        handler = self.handlers.get(request.command)
        if not handler:
            return snakepit_pb2.ExecuteResponse(
                success=False, error=f"Unknown command: {request.command}"
            )

        try:
            result = handler(dict(request.args))
            return snakepit_pb2.ExecuteResponse(
                success=True, result=result, timestamp=time.time_ns()
            )
        except Exception as e:
            return snakepit_pb2.ExecuteResponse(
                success=False, error=str(e), timestamp=time.time_ns()
            )

    def ExecuteStream(self, request, context):
        handler = self.handlers.get(request.command)
        if not handler:
            yield snakepit_pb2.StreamResponse(
                is_final=True, error=f"Unknown command: {request.command}"
            )
            return

        try:
            # Stream results in chunks
            for chunk in handler(dict(request.args), streaming=True):
                yield snakepit_pb2.StreamResponse(
                    is_final=False, chunk=chunk, timestamp=time.time_ns()
                )

            # Final response
            yield snakepit_pb2.StreamResponse(is_final=True, timestamp=time.time_ns())
        except Exception as e:
            yield snakepit_pb2.StreamResponse(is_final=True, error=str(e), timestamp=time.time_ns())

    def ExecuteInSession(self, request, context):
        plain = snakepit_pb2.ExecuteRequest(command=request.command, args=request.args)
        plain.args["session"] = request.session_id.encode()
        return self.Execute(plain, context)

    def ExecuteInSessionStream(self, request, context):
        plain = snakepit_pb2.ExecuteRequest(command=request.command, args=request.args)
        yield from self.ExecuteStream(plain, context)

    def Health(self, request, context):
        uptime = int((time.monotonic() - self.started) * 1000)
        return snakepit_pb2.HealthResponse(healthy=True, worker_id="seed", uptime_ms=uptime)


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    snakepit_pb2_grpc.add_SnakepitBridgeServicer_to_server(SnakepitBridgeServicer(), server)
    listen_addr = f"[::]:{port}"
    server.add_insecure_port(listen_addr)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 50051
    serve(port)
