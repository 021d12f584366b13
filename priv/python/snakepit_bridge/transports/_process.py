"""What ties a worker process to its parent: its group, its pipes, its end."""

from __future__ import annotations

import os
import select
import signal
import sys
from _thread import allocate_lock
from contextlib import suppress
from threading import Thread
from time import sleep

from ._herald import Herald
from ._orders import follow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

#: So much at a time is written to a pipe without anything of another writer in between.
PIECE = 4096 - 3

#: After the parent has gone, a worker may take so long to end.
ORPHAN_GRACE = 1.0

_PR_SET_PDEATHSIG = 1


class Process:
    """This process, as the worker of a parent. Until it is claimed it has none: it belongs to
    whoever started it, and only SIGTERM and Ctrl-C end it."""

    def __init__(self) -> None:
        self.has_parent = False
        self._to_parent = 1
        self._socket: str | None = None
        self._writing = allocate_lock()
        self._farewell_lock = allocate_lock()
        self._farewell: Callable[[], None] | None = None
        self._gone = False
        self._herald = Herald(self.tell_parent)

    def claim(self, socket: str | None = None) -> None:
        """For a worker that is called over a socket: control lines and text go to the standard
        output; what the parent asks comes on its input, of which the end says that it has gone."""
        from_parent, self._to_parent = os.dup(0), os.dup(1)
        self._claimed(from_parent, socket, follow)

    def claim_frames(self) -> tuple[int, int]:
        """For a worker that is called over its standard input and output, which are taken aside:
        the file descriptors of the two. Text and control lines go where SNAKEPIT_OUTPUT says."""
        from_parent, frames = os.dup(0), os.dup(1)
        output = os.environ.pop("SNAKEPIT_OUTPUT", None)
        _connect_output(output)
        self._to_parent = os.dup(1)
        # Like a socket of our own, it is cleared away when the parent has gone.
        self._claimed(from_parent, output, _until_hung_up)
        return from_parent, frames

    def _claimed(self, from_parent: int, socket: str | None, watch: Callable[[int], None]) -> None:
        self.has_parent = True
        self._socket = socket
        with suppress(OSError):  # refused for a session leader, which leads its own group already
            os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        # Ctrl-C in the terminal of the parent is the parent's to act on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _wake_with_parents_death()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)
        # From now on: what is imported next may take its time, or for ever.
        args = (watch, from_parent)
        Thread(target=self._watch_parent, args=args, name="snakepit-parent", daemon=True).start()

    def tell_parent(self, json: str) -> None:
        """Writes a control line, which begins with the byte 0x1e.

        One that is too long to be written at once goes in pieces, all but the last marked by a
        ``+``: whatever else is printed meanwhile comes before or after a piece.
        """
        data = json.encode()
        pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)] or [b""]
        with self._writing:
            for piece in pieces[:-1]:
                self._write(b"\x1e+" + piece + b"\n")
            self._write(b"\x1e" + pieces[-1] + b"\n")

    def tell_ready(self, address: str, transport: str) -> None:
        """Says where the worker listens: to its parent, or to whoever started it by hand."""
        if not self.has_parent:
            print(f"Serves at {address} by {transport}. Ctrl-C ends it.", flush=True)
            return
        from json import dumps

        self.tell_parent(dumps({"event": "ready", "os_pid": os.getpid(), "address": address}))

    def tell_soon(self, event: dict[str, Any]) -> None:
        """Tells the parent, if there is one, without waiting for it."""
        if self.has_parent:
            self._herald.tell(event)

    def tell(self, event: dict[str, Any]) -> None:
        """Tells the parent, if there is one, and returns when it is written."""
        if self.has_parent:
            from json import dumps

            self.tell_parent(dumps(event))

    def warn(self, message: str, request_id: str) -> None:
        """Has a warning of the worker's own appear in the log."""
        if not self.has_parent:
            print(f"snakepit: {message}", file=sys.stderr, flush=True)
            return
        event = {"event": "log", "level": "warning", "logger": "snakepit"}
        self.tell({**event, "request_id": request_id, "message": message})

    def when_parent_goes(self, farewell: Callable[[], None]) -> None:
        """Has ``farewell`` called, on a thread of its own, when the parent has gone."""
        with self._farewell_lock:
            if self._gone:
                self.end_group()
            self._farewell = farewell

    def end_group(self) -> NoReturn:
        """Kills this process and all it has started."""
        if self.has_parent and os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        while True:
            sleep(1)

    def _write(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._to_parent, line) :]

    def _forked(self) -> None:
        # In a child nobody may be left to give the lock back.
        self._writing = allocate_lock()

    def _watch_parent(self, watch: Callable[[int], None], from_parent: int) -> None:
        watch(from_parent)
        self._remove_socket()
        with self._farewell_lock:
            self._gone = True
            farewell = self._farewell
        if farewell is None:
            self.end_group()  # nothing is served yet
        farewell()
        sleep(ORPHAN_GRACE)
        self.end_group()

    def _remove_socket(self) -> None:
        """Does what the parent would have: the socket goes, and with the last its directory."""
        if self._socket is None:
            return
        with suppress(OSError):  # it may not be there yet
            os.unlink(self._socket)
        with suppress(OSError):
            os.rmdir(os.path.dirname(self._socket))


def _until_hung_up(fd: int) -> None:
    """Returns when the other end of the pipe is closed, whatever is still to be read."""
    poll = select.poll()
    poll.register(fd, 0)
    while not poll.poll():
        pass


def _connect_output(path: str | None) -> None:
    """Points the standard output, and with a path the errors too, elsewhere than at the frames."""
    if path is not None:
        import _socket

        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError as error:
            print(f"snakepit: cannot send output to {path}: {error}", file=sys.stderr, flush=True)
        else:
            os.dup2(connection.fileno(), 1)
            os.dup2(connection.fileno(), 2)
            return
        finally:
            connection.close()
    os.dup2(2, 1)


def _wake_with_parents_death() -> None:
    """A worker that is stopped by a signal would not notice that its parent goes: this resumes
    it."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with suppress(OSError, AttributeError):  # a libc without it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT), 0, 0, 0)
