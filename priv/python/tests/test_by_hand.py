"""Workers that are started by hand, without a pool."""

import signal
import subprocess
import sys

import pytest
from grpc_client import GrpcClient
from workers import SCRIPT

WITHOUT_NATIVE = (
    "import sys; sys.modules['snakepit_bridge._native'] = None; sys.argv[:] = sys.argv[1:];"
    "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
)


@pytest.fixture
def start():
    started = []

    def start(*command, **options):
        process = subprocess.Popen(
            [sys.executable, *command, "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def call(address):
    client = GrpcClient(None, address, codec="json")
    answer = client.call("ping")
    client.close()
    return answer["status"]


@pytest.mark.parametrize("transport", ["native", "grpcio"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_serves_until_it_is_stopped(start, transport, end):
    process = start(SCRIPT, "--transport", transport)
    words = process.stdout.readline().split()
    assert words[:2] == ["Serves", "at"]
    assert words[3:5] == ["by", f"{transport}."]
    assert call(words[2]) == b"ok"
    process.send_signal(end)
    assert process.communicate() == ("", "")
    assert process.returncode == 0


def test_the_native_transport_is_the_usual_one(start):
    process = start(SCRIPT)
    assert "by native." in process.stdout.readline()


def test_without_the_native_part_grpcio_takes_its_place_and_that_is_told(start, tmp_path):
    process = start("-c", WITHOUT_NATIVE, SCRIPT, env={"PYTHONPATH": str(SCRIPT.parent)})
    line = process.stdout.readline()
    assert "by grpcio." in line
    address = line.split()[2]
    assert call(address) == b"ok"
    assert "has no native part" in process.stderr.readline()
    client = GrpcClient(None, address, codec="msgpack")
    assert list(client.health()["codecs"]) == [client.pb.CODEC_JSON, client.pb.CODEC_MSGPACK]
    value = ["5", b"\xff", 2**100, None]
    assert client.call("echo", {"value": value}) == {"value": value}
    client.close()
