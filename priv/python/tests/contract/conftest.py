"""What every transport does in the same way: calls to real workers."""

import pytest
from grpc_client import GrpcClient
from workers import StdioClient, Worker, ready

TRANSPORTS = ["stdio-json", "stdio-msgpack", "grpcio", "native"]


@pytest.fixture(params=TRANSPORTS)
def transport(request):
    return request.param


@pytest.fixture
def start(transport, beacon, tmp_path):
    """Starts a worker with options of its own: its client."""
    clients = []

    def start(*arguments, **options):
        env = {"SNAKEPIT_TEST_BEACON": beacon.path, **options.pop("env", {})}
        if transport in ("grpcio", "native"):
            arguments = (*arguments, "--socket", str(tmp_path / f"{len(clients)}.sock"))
        worker = Worker(*arguments, transport=transport, env=env, **options)
        client = connect(worker, transport)
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.close()
        client.worker.close()


def connect(worker, transport):
    if transport.startswith("stdio"):
        return StdioClient(worker, transport)
    address, _ = ready(worker)
    return GrpcClient(worker, address)


@pytest.fixture
def client(start):
    return start()
