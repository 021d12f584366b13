"""The worker's main program; the native server is played by FakeNative."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from snakepit_bridge import __version__, _worker, on_start, on_stop
from snakepit_bridge._options import UsageError, parse

SCRIPT = Path(__file__).parent.parent / "grpc_bridge.py"


class FakeNative:
    def __init__(self):
        self.steps = []
        self.config = None
        self.commands = None
        self.failure = None

    def claim_process(self, socket):
        self.steps.append("claim_process")

    def serve(self, dispatcher, config):
        self.steps.append("serve")
        self.commands = dispatcher.commands()
        self.config = config
        if self.failure:
            raise self.failure


@pytest.fixture
def native(registry, monkeypatch):
    native = FakeNative()
    monkeypatch.setattr(_worker, "load", lambda name: native)
    monkeypatch.setattr(_worker, "has_parent", lambda: True)
    monkeypatch.setattr(_worker, "_connect_output", lambda native: native.steps.append("logs"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("SNAKEPIT_TOKEN", raising=False)
    return native


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of a user into a directory: its name."""
    names = []

    def write(text):
        name = f"users_module_{os.urandom(4).hex()}"
        (tmp_path / f"{name}.py").write_text(text)
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_a_worker_claims_its_process_imports_the_modules_and_serves(native, module, tmp_path):
    name = module("from snakepit_bridge import command\n@command\ndef hello(): return {}\n")
    assert _worker.main(["--socket", "/tmp/w.sock", "--path", str(tmp_path), "--module", name]) == 0
    assert native.steps == ["claim_process", "logs", "serve"]
    assert "hello" in native.commands
    assert "ping" in native.commands


def test_a_worker_without_a_parent_is_left_as_it_is(native, monkeypatch):
    monkeypatch.setattr(_worker, "has_parent", lambda: False)
    monkeypatch.setattr(_worker, "_leave_interrupts_to_the_transport", lambda: None)
    assert _worker.main(["--port", "0"]) == 0
    assert native.steps == ["serve"]


def test_hooks_run_before_and_after_serving(native):
    on_start(lambda: native.steps.append("start"))
    on_stop(lambda: native.steps.append("stop"))
    assert _worker.main(["--port", "0"]) == 0
    assert native.steps == ["claim_process", "logs", "start", "serve", "stop"]


def test_the_server_gets_its_configuration(native):
    command_line = (
        "--socket /tmp/w.sock --worker-id w7 --capacity=3 --max-message-size 4096"
        " --cancel-grace-ms 10 --shutdown-timeout-ms=20"
    )
    assert _worker.main(command_line.split()) == 0
    assert native.config == {
        "socket": "/tmp/w.sock",
        "port": None,
        "worker_id": "w7",
        "capacity": 3,
        "max_message_size": 4096,
        "cancel_grace_ms": 10,
        "shutdown_timeout_ms": 20,
        "token": None,
    }


def test_the_token_does_not_stay_in_the_environment(native, monkeypatch):
    monkeypatch.setenv("SNAKEPIT_TOKEN", "secret")
    assert _worker.main(["--port", "5001"]) == 0
    assert native.config["token"] == "secret"
    assert "SNAKEPIT_TOKEN" not in os.environ


def test_the_directories_come_first_in_the_given_order(native, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _worker.main(["--port", "1", "--path", "a", "--path", "/b"]) == 0
    assert sys.path[:2] == [str(tmp_path / "a"), "/b"]


def test_a_module_that_does_not_import_is_shown_from_its_own_line_on(
    native, module, tmp_path, capsys
):
    name = module("import json\n\nraise RuntimeError('no licence')\n")
    assert _worker.main(["--port", "1", "--path", str(tmp_path), "--module", name]) == 1
    assert native.steps == ["claim_process", "logs"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"cannot import the module {name}:"
    assert f"{name}.py" in lines[2]
    assert lines[-1] == "RuntimeError: no licence"


def test_a_module_that_exits_is_no_proper_stop(native, module, tmp_path, capsys):
    name = module("import sys\nsys.exit(0)\n")
    assert _worker.main(["--port", "1", "--path", str(tmp_path), "--module", name]) == 1
    assert "SystemExit" in capsys.readouterr().err


def test_a_module_that_is_not_there_is_told(native, capsys):
    assert _worker.main(["--port", "1", "--module", "no_such_module_here"]) == 1
    assert "No module named 'no_such_module_here'" in capsys.readouterr().err


def test_a_start_hook_that_raises_is_shown(native, capsys):
    @on_start
    def load_model():
        raise OSError("no GPU")

    assert _worker.main(["--port", "1"]) == 1
    assert native.steps == ["claim_process", "logs"]
    printed = capsys.readouterr().err
    assert "on_start hook failed" in printed
    assert "in load_model" in printed


def test_an_address_that_is_taken_is_shown_and_the_stop_hooks_run(native, capsys):
    stopped = []
    on_stop(lambda: stopped.append(True))
    native.failure = OSError("address in use")
    assert _worker.main(["--port", "1"]) == 1
    assert "address in use" in capsys.readouterr().err
    assert stopped == [True]


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        ("--prt 3", "unknown option --prt, did you mean --port?"),
        ("--zzz", "unknown option --zzz"),
        ("handlers.py", "takes no arguments besides options, got 'handlers.py'"),
        ("--port", "--port needs a value"),
        ("--port=", "--port needs a value"),
        ("--port x", "--port takes an integer from 0 to 65535, got 'x'"),
        ("--port 65536", "--port takes an integer from 0 to 65535, got '65536'"),
        ("--capacity 0", "--capacity takes an integer from 1"),
        ("--socket /tmp/a --port 1", "--socket and --port exclude each other"),
        ("--transport smoke", "--transport takes one of native, "),
        ("--transport stdio-json --port 1", "--transport stdio-json takes no --socket and no"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(native, capsys, command_line, message):
    assert _worker.main(command_line.split()) == 2
    assert message in capsys.readouterr().err
    assert native.steps == []
    with pytest.raises(UsageError):
        parse(command_line.split())


def test_without_an_address_it_listens_on_the_usual_port():
    assert parse([]).port == 50051
    assert parse(["--socket", "/tmp/a"]).port is None


def test_the_version_is_told(capsys):
    assert _worker.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def run_without_native(*arguments, cwd, without=("snakepit_bridge._native",)):
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({without!r})); sys.argv[:] = sys.argv[1:];"
        "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(SCRIPT), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent)},
        input="",
        capture_output=True,
        text=True,
    )


def test_the_script_shows_its_help_without_the_native_part(tmp_path):
    ran = run_without_native("--help", cwd=tmp_path)
    assert ran.returncode == 0
    assert "--socket PATH" in ran.stdout
    assert "--port PORT" in ran.stdout
    assert ran.stderr == ""


def test_the_script_says_what_to_do_when_the_native_part_is_missing(tmp_path):
    ran = run_without_native("--port", "1", cwd=tmp_path)
    assert ran.returncode == 1
    assert "mix snakepit.setup" in ran.stderr


def test_the_script_says_what_to_do_when_grpcio_is_missing(tmp_path):
    ran = run_without_native("--transport", "grpcio", cwd=tmp_path, without=("grpc",))
    assert ran.returncode == 1
    assert "pip install 'snakepit-bridge[grpc]'" in ran.stderr


def test_the_script_says_what_messagepack_needs(tmp_path):
    missing = ("snakepit_bridge._native", "msgpack")
    ran = run_without_native("--transport", "stdio-msgpack", cwd=tmp_path, without=missing)
    assert ran.returncode == 1
    assert ran.stderr.startswith("MessagePack needs the native part of snakepit_bridge")


def test_json_needs_no_native_part(tmp_path):
    ran = run_without_native("--transport", "stdio-json", cwd=tmp_path)
    assert ran.returncode == -signal.SIGKILL, "its input is at its end"
    assert ran.stderr == ""


def test_the_help_names_every_option():
    from snakepit_bridge._options import HELP, READERS

    for option in READERS:
        assert option in HELP
