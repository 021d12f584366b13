"""gRPC workers of both transports, called by a plain grpcio client."""

import pytest
from grpc_client import GrpcClient
from workers import Worker, ready


@pytest.fixture(params=["grpcio", "native"])
def transport(request):
    return request.param


@pytest.fixture
def run(transport, beacon):
    """Starts a worker: its process and its address."""
    workers = []

    def run(*arguments, **options):
        env = {"SNAKEPIT_TEST_BEACON": beacon.path, **options.pop("env", {})}
        worker = Worker(*arguments, transport=transport, env=env, **options)
        workers.append(worker)
        return worker, ready(worker)[0]

    yield run
    for worker in workers:
        worker.close()


@pytest.fixture(params=["unix", "tcp"])
def address(request, tmp_path):
    """The options for an address of either kind."""
    if request.param == "unix":
        return ["--socket", str(tmp_path / "worker.sock")]
    return ["--port", "0"]


@pytest.fixture
def client(run, tmp_path):
    worker, address = run("--socket", str(tmp_path / "worker.sock"))
    client = GrpcClient(worker, address)
    yield client
    client.close()
