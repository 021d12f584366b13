"""The main program of a worker process."""

from __future__ import annotations

import os
import sys

from ._options import HELP, UsageError, parse
from .transports import TransportMissing, has_parent, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._dispatcher import Dispatcher
    from ._options import Options
    from .transports import Transport


def main(argv: list[str]) -> int:
    """Runs a worker until it is told to stop. Returns the exit status.

    0 after a proper stop, 1 if it could not start, 2 if the command line makes no sense.
    """
    if "-h" in argv or "--help" in argv:
        print(HELP, end="")
        return 0
    if "--version" in argv:
        from . import __version__

        print(__version__)
        return 0
    try:
        options = parse(argv)
    except UsageError as error:
        print(f"grpc_bridge.py: {error}\nTry --help.", file=sys.stderr)
        return 2
    return _serve(options)


def _serve(options: Options) -> int:
    transport = _transport(options)
    if transport is None:
        return 1
    # First of all: what is imported from here on may print, and may start processes.
    if has_parent() or options.uses_stdio:
        transport.claim_process(options.socket)
        _connect_output(transport)
    else:
        _leave_interrupts_to_the_transport()
    # Taken out of the environment, which the handlers and their child processes can read.
    config = {**options.server_config(), "token": os.environ.pop("SNAKEPIT_TOKEN", None)}
    dispatcher = _start(options)
    if dispatcher is None:
        return 1
    try:
        return transport.serve(dispatcher, config) or 0
    except Exception:
        _report("the server failed")
        return 1
    finally:
        dispatcher.stop()


def _transport(options: Options) -> Transport | None:
    # A pool gets what it asked for; whoever starts a worker by hand, what there is.
    names = [options.transport or "native"]
    if options.transport is None and not has_parent():
        names.append("grpcio")
    for name in names:
        try:
            return load(name)
        except TransportMissing as missing:
            print(missing, file=sys.stderr)
    return None


def _leave_interrupts_to_the_transport() -> None:
    """Python's own way with Ctrl-C is an exception wherever the main thread is."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _connect_output(transport: Transport) -> None:
    """Has lines leave whole and at once, and passes on what is logged."""
    from . import _logs, _progress

    # Unbuffered, as the parent starts us, a line and its end are two writes: those of other
    # threads would come in between.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, write_through=False)

    def current_call() -> tuple[str, str] | None:
        aio = sys.modules.get("snakepit_bridge._aio")
        call = None if aio is None else aio.current.get()
        return transport.current_call() if call is None else (call.request_id, call.command)

    level = os.environ.pop("SNAKEPIT_LOG_LEVEL", None)
    if level in _logs.LEVELS:
        _logs.set_level(level)
        transport.set_log_level(level)
    _logs.forward(transport.tell_parent, current_call)
    _progress.forward(transport.tell_parent)


def _start(options: Options) -> Dispatcher | None:
    """Imports the user's modules and runs the start hooks. None if that fails."""
    from ._dispatcher import Dispatcher

    sys.path[:0] = [os.path.abspath(directory) for directory in options.path]
    dispatcher = Dispatcher(
        options.worker_id,
        max_sessions=options.max_sessions,
        session_ttl=options.session_ttl_ms / 1000,
    )
    for module in options.module:
        try:
            __import__(module)
        except BaseException:  # also SystemExit, which must not look like a proper stop
            _report(f"cannot import the module {module}")
            return None
    try:
        dispatcher.start()
    except BaseException:
        _report("an on_start hook failed")
        return None
    return dispatcher


def _report(what: str) -> None:
    from ._traceback import traceback_of

    exc = sys.exc_info()[1]
    assert exc is not None
    print(f"{what}:\n{traceback_of(exc)}", end="", file=sys.stderr, flush=True)
