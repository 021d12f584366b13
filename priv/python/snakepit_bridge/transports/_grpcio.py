"""The gRPC transport in Python: grpc.aio on a thread of its own."""

from __future__ import annotations

import asyncio
import hmac
import os
import sys
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from threading import Thread

import grpc

from ..grpc import snakepit_pb2 as pb
from ..grpc import snakepit_pb2_grpc as stubs
from ._engine import Engine
from ._process import Process
from ._service import Bridge
from ._serving import Serving, current_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from .._dispatcher import Dispatcher

    Handler = grpc.RpcMethodHandler[Any, Any]

#: What a message may be larger than the values in it: the limit users set is on values.
MESSAGE_OVERHEAD = 64 * 1024

#: How long the last replies may take to leave.
LAST_REPLIES = 0.5


class GrpcioTransport:
    """A server for machines without the native part, and to compare that with."""

    def __init__(self) -> None:
        self._process = Process()

    def claim_process(self, socket: str | None = None) -> None:
        self._process.claim(socket)

    def tell_parent(self, json: str) -> None:
        self._process.tell_parent(json)

    def current_call(self) -> tuple[str, str] | None:
        return current_call()

    def set_log_level(self, name: str) -> None:
        pass  # what it has to say is no detail

    def serve(self, dispatcher: Dispatcher, config: dict[str, Any]) -> int:
        engine = Engine(dispatcher, self._process, config, "grpcio")
        serving = Serving(engine, self._process, config["shutdown_timeout_ms"] / 1000)
        loop = asyncio.new_event_loop()
        serving_thread = Thread(target=loop.run_forever, name="snakepit-io", daemon=True)
        serving_thread.start()
        server, address = asyncio.run_coroutine_threadsafe(_start(engine, config), loop).result()
        self._process.tell_ready(address, "grpcio")

        def close(patient: bool) -> None:
            stopping = server.stop(LAST_REPLIES if patient else None)
            with suppress(TimeoutError, FutureTimeout):  # then the end of the process closes it
                asyncio.run_coroutine_threadsafe(stopping, loop).result(2 * LAST_REPLIES)

        status = serving.run(close)
        # Nothing of grpc is to run while the interpreter is taken down.
        loop.call_soon_threadsafe(loop.stop)
        serving_thread.join(LAST_REPLIES)
        return status


async def _start(engine: Engine, config: dict[str, Any]) -> tuple[grpc.aio.Server, str]:
    limit = engine.max_message_size + MESSAGE_OVERHEAD
    token = config["token"]
    server = grpc.aio.server(
        interceptors=[] if token is None else [TokenCheck(token)],
        options=[
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", limit),
            # Two workers are not to share a port.
            ("grpc.so_reuseport", 0),
        ],
    )
    stubs.add_SnakepitBridgeServicer_to_server(Bridge(engine), server)  # type: ignore[no-untyped-call]
    await _add_standard_services(server)
    address = _listen(server, config)
    await server.start()
    return server, address


def _listen(server: grpc.aio.Server, config: dict[str, Any]) -> str:
    path = config["socket"]
    if path is None:
        wanted = f"127.0.0.1:{config['port']}"
        return f"http://127.0.0.1:{_bind(server, wanted)}"
    _bind(server, f"unix:{path}")
    # grpc does not tell who connects; the pool's directory is private besides.
    os.chmod(path, 0o600)
    return f"unix:{path}"


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from None
    if port == 0:
        raise OSError(f"cannot listen on {address}")
    return port


async def _add_standard_services(server: grpc.aio.Server) -> None:
    """grpc.health.v1 and server reflection, as grpcurl and load balancers know them."""
    service = pb.DESCRIPTOR.services_by_name["SnakepitBridge"].full_name
    try:
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc
        from grpc_reflection.v1alpha import reflection
    except ImportError as error:
        print(
            f"snakepit: serves neither grpc.health.v1 nor reflection: {error}\n"
            "Run: pip install 'snakepit-bridge[grpc]'",
            file=sys.stderr,
        )
        return
    servicer = health.aio.HealthServicer()
    for name in ("", service):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    names = (service, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)


class TokenCheck(grpc.aio.ServerInterceptor):
    """Refuses whoever does not know the worker's token."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(details)
        given = dict(details.invocation_metadata or ()).get("authorization", b"")
        given = given.encode() if isinstance(given, str) else given
        if handler is None or hmac.compare_digest(given, self._expected):
            return handler
        if handler.response_streaming:
            if handler.request_streaming:
                return grpc.stream_stream_rpc_method_handler(_refuse)
            return grpc.unary_stream_rpc_method_handler(_refuse)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(_refuse)
        return grpc.unary_unary_rpc_method_handler(_refuse)


async def _refuse(_request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the worker's token is missing or wrong")
