"""What the parent asks of a worker that runs."""

from __future__ import annotations

import os
from threading import Thread

#: A longer line is none of ours.
MOST = 256


def follow(fd: int) -> None:
    """Obeys the lines that come, until the other end of the pipe is closed."""
    rest = b""
    while True:
        try:
            data = os.read(fd, MOST)
        except OSError:
            return
        if not data:
            return
        *orders, rest = (rest + data).split(b"\n")
        rest = rest[:MOST]
        for order in orders:
            _obey(order.decode(errors="replace"))


def _obey(order: str) -> None:
    kind, _, name = order.partition(" ")
    if kind == "log_level":
        set_log_level(name)


def set_log_level(name: str) -> bool:
    """Sets from which level on log records are told, soon; False if there is no such level.

    Does not wait: some handler may hold a lock of ``logging``.
    """
    from .. import _logs

    if name not in _logs.LEVELS:
        return False
    Thread(target=_logs.set_level, args=(name,), name="snakepit-level", daemon=True).start()
    return True
