"""Servers that are not what they should be. They answer Health, so that a connection is made, and
do something wrong on everything else: which thing is the command's name."""

import sys
import time
from concurrent import futures
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parents[3] / "priv/python"))

from snakepit_bridge.grpc import snakepit_pb2, snakepit_pb2_grpc

Response = snakepit_pb2.ExecuteResponse
Chunk = snakepit_pb2.StreamResponse


class Servicer(snakepit_pb2_grpc.SnakepitBridgeServicer):
    def Health(self, request, context):
        return snakepit_pb2.HealthResponse(healthy=True)

    def Execute(self, request, context):
        if request.command == "abort":
            context.abort(grpc.StatusCode.INTERNAL, "something broke")
        if request.command == "hang":
            time.sleep(30)
        if request.command == "empty":
            return Response()
        if request.command == "not_msgpack":
            return Response(success=True, result={"a": b"\xc1"}, codec=1)
        if request.command == "twice":
            return Response(success=True, result={"a": b"1"}, error="and an error")
        return Response(success=True)

    def ExecuteStream(self, request, context):
        yield Chunk(chunk={"n": b"1"})
        if request.command == "no_final":
            return
        if request.command == "abort":
            context.abort(grpc.StatusCode.INTERNAL, "something broke")
        if request.command == "hang":
            time.sleep(30)
        yield Chunk(is_final=True)
        if request.command == "after_final":
            yield Chunk(chunk={"n": b"2"})


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    snakepit_pb2_grpc.add_SnakepitBridgeServicer_to_server(Servicer(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(int(sys.argv[2]))
