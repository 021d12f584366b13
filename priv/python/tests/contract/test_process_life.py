"""The life of a worker process."""

import os
import signal
import subprocess

from workers import Worker, alive, failure


def test_a_worker_that_is_told_to_stop_lets_calls_finish(client, beacon, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    call = client.start("read_file", {"path": str(tmp_path / "fifo")})
    beacon.expect("reading")
    client.worker.signal(signal.SIGTERM)
    while client.health()["healthy"]:
        pass
    assert failure(client.call, "ping").kind == "draining"
    assert failure(client.call, "release").kind == "draining"
    (tmp_path / "fifo").write_text("finished")
    assert call.result() == {"result": "finished"}
    beacon.expect("on_stop")
    assert client.worker.status() == 0


def test_a_worker_waits_for_its_calls_no_longer_than_it_is_told(start, beacon):
    client = start("--shutdown-timeout-ms", "50")
    call = client.start("stubborn")
    beacon.expect("stubborn")
    client.worker.signal(signal.SIGTERM)
    beacon.expect("on_stop")
    assert client.worker.status() == 0
    del call


def test_a_worker_ends_when_its_parent_has_gone_and_takes_its_children(client, beacon):
    child = client.call("child")["result"]
    call = client.start("busy")
    beacon.expect("busy")
    client.worker.process.stdin.close()
    beacon.expect("Cancelled")
    beacon.expect("on_stop")
    assert client.worker.status() == -signal.SIGKILL
    assert not alive(child)
    del call


def test_a_worker_that_still_imports_ends_with_its_parent_too(transport, tmp_path):
    (tmp_path / "endless_module.py").write_text(
        "import os, time\nos.write(2, b'importing\\n')\ntime.sleep(60)\n"
    )
    directory = tmp_path / "of the worker"
    directory.mkdir()
    listening = [] if transport.startswith("stdio") else ["--socket", str(directory / "socket")]
    worker = Worker(
        "--path",
        str(tmp_path),
        *listening,
        transport=transport,
        modules=["endless_module"],
        stderr=subprocess.PIPE,
    )
    assert worker.process.stderr.readline() == b"importing\n"
    worker.process.stdin.close()
    assert worker.status() == -signal.SIGKILL
    assert directory.exists() == (not listening)
    worker.process.stdout.close()
    worker.process.stderr.close()


def test_a_worker_leads_a_process_group_of_its_own(client):
    pid = client.worker.pid
    assert client.call("evaluate", {"code": "__import__('os').getpgrp()"})["result"] == pid


def test_the_handlers_read_nothing_from_the_standard_input(client):
    assert client.call("evaluate", {"code": "sys.stdin.read()"}) == {"result": ""}
