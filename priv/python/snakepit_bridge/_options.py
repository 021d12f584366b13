"""The command line of a worker, read without argparse, which is slow to import."""

from __future__ import annotations

from .transports import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HELP = """\
usage: python grpc_bridge.py [--socket PATH | --port PORT] [OPTION]...

Runs a Snakepit worker, which serves the functions of the given modules to an Elixir
application. Snakepit's pools start it; by hand it is of use for a look with grpcurl.

how it is called:
  --transport NAME           native: gRPC, by the part written in Rust (default)
                             grpcio: gRPC, by Python's grpcio (default of a worker that is
                             started by hand, where there is no native part)
                             stdio-json, stdio-msgpack: frames on standard input and output

where to listen:
  --socket PATH              unix socket to make
  --port PORT                TCP port on 127.0.0.1 (50051 if neither is given);
                             callers need the token in the environment's SNAKEPIT_TOKEN, if set

what to serve:
  --path DIR                 directory to put first in sys.path; may be repeated
  --module NAME              module to import, whose handlers are served; may be repeated

how:
  --worker-id ID             name in logs and errors (worker)
  --capacity N               calls and streams that run at once (10)
  --max-message-size BYTES   largest request or reply (268435456)
  --cancel-grace-ms MS       how long a cancelled handler may go on (2000)
  --shutdown-timeout-ms MS   how long running calls may go on after SIGTERM (5000)
  --max-sessions N           sessions whose state is kept (10000)
  --session-ttl-ms MS        how long the state of an unused session is kept (3600000)
  -h, --help                 show this and exit
  --version                  show the version and exit

Started by a parent process, that is with a pipe as standard input, it writes one line to
standard output once it listens: the byte 0x1e and the JSON object
{"event": "ready", "os_pid": ..., "address": ...}. It ends when that pipe is closed. Started by
hand it says in words where it listens, and ends with Ctrl-C.
"""


class UsageError(Exception):
    """The command line cannot be understood."""


class Options:
    """A parsed command line. Durations are in the unit that their name ends with."""

    def __init__(self) -> None:
        self.transport: str | None = None
        self.socket: str | None = None
        self.port: int | None = None
        self.worker_id = "worker"
        self.capacity = 10
        self.max_message_size = 256 * 1024 * 1024
        self.cancel_grace_ms = 2_000
        self.shutdown_timeout_ms = 5_000
        self.max_sessions = 10_000
        self.session_ttl_ms = 3_600_000
        self.path: list[str] = []
        self.module: list[str] = []

    @property
    def uses_stdio(self) -> bool:
        """Whether calls come and go over the standard input and output."""
        return self.transport is not None and self.transport.startswith("stdio")

    def server_config(self) -> dict[str, Any]:
        """What the transport needs to know."""
        return {
            "socket": self.socket,
            "port": self.port,
            "worker_id": self.worker_id,
            "capacity": self.capacity,
            "max_message_size": self.max_message_size,
            "cancel_grace_ms": self.cancel_grace_ms,
            "shutdown_timeout_ms": self.shutdown_timeout_ms,
        }


def parse(argv: list[str]) -> Options:
    """Reads ``--name value`` and ``--name=value``. Raises UsageError."""
    options = Options()
    rest = iter(argv)
    for word in rest:
        name, equals, value = word.partition("=")
        read = READERS.get(name)
        if read is None:
            raise UsageError(_unknown(name))
        if not equals:
            value = next(rest, "")
        if not value:
            raise UsageError(f"{name} needs a value")
        try:
            given = read(value)
        except ValueError as error:
            raise UsageError(f"{name} {error}, got {value!r}") from None
        attribute = name[2:].replace("-", "_")
        if attribute in ("path", "module"):
            getattr(options, attribute).append(given)
        else:
            setattr(options, attribute, given)
    if options.socket is not None and options.port is not None:
        raise UsageError("--socket and --port exclude each other")
    if options.uses_stdio:
        if options.socket is not None or options.port is not None:
            raise UsageError(f"--transport {options.transport} takes no --socket and no --port")
    elif options.socket is None and options.port is None:
        options.port = 50051
    return options


def _between(least: int, most: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not value.isdecimal() or not least <= int(value) <= most:
            raise ValueError(f"takes an integer from {least} to {most}")
        return int(value)

    return read


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in names:
            raise ValueError(f"takes one of {', '.join(names)}")
        return value

    return read


READERS: dict[str, Callable[[str], Any]] = {
    "--transport": _one_of(NAMES),
    "--socket": str,
    "--port": _between(0, 65535),
    "--worker-id": str,
    "--capacity": _between(1, 10_000),
    "--max-message-size": _between(1024, 2**31 - 1),
    "--cancel-grace-ms": _between(0, 2**31 - 1),
    "--shutdown-timeout-ms": _between(0, 2**31 - 1),
    "--max-sessions": _between(1, 2**31 - 1),
    "--session-ttl-ms": _between(1, 2**53),
    "--path": str,
    "--module": str,
}


def _unknown(name: str) -> str:
    from ._suggest import closest

    if not name.startswith("--"):
        return f"takes no arguments besides options, got {name!r}"
    alike = closest(name, READERS)
    return f"unknown option {name}" + (f", did you mean {alike}?" if alike else "")
