"""Waiting until something happens to some files, without looking again and again.

On Linux the kernel tells it (inotify). Elsewhere, and where the kernel does not know of the changes
of a network file system, the files are looked at in intervals.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from contextlib import suppress

#: Seconds between two looks where nothing tells of changes, and where inotify does.
INTERVAL = 0.1
LONG_INTERVAL = 1.0

_MODIFY, _ATTRIB, _MOVED_TO, _CREATE = 0x2, 0x4, 0x80, 0x100
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
#: Of a file: that it grows, shrinks or gets another name. Of its directory: that it comes.
_OF_FILE = _MODIFY | _ATTRIB | _DELETE_SELF | _MOVE_SELF
_OF_DIRECTORY = _CREATE | _MOVED_TO


class Changes:
    """Changes of the files at ``paths``, which need not be there. Use it on an asyncio loop."""

    def __init__(self, *paths: str) -> None:
        self._paths = [os.path.abspath(path) for path in paths]
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._libc: ctypes.CDLL | None = None
        self._inotify = -1
        # Path to the number of the kernel's watch.
        self._watches: dict[str, int] = {}
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._inotify = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._inotify >= 0:
            self._loop.add_reader(self._inotify, self._read)

    def arm(self) -> None:
        """Changes from now on end the next ``wait``. Look at the files after it, not before."""
        self._changed.clear()
        for path in self._paths:
            # The directory first: the file may come in between.
            self._watch(os.path.dirname(path), _OF_DIRECTORY)
            self._watch(path, _OF_FILE)

    async def wait(self, seconds: float | None) -> None:
        """Returns after a change, and at the latest after the given time; sometimes for nothing."""
        interval = LONG_INTERVAL if self._watches else INTERVAL
        limit = interval if seconds is None else min(seconds, interval)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), limit)

    def close(self) -> None:
        if self._inotify >= 0:
            self._loop.remove_reader(self._inotify)
            os.close(self._inotify)
            self._inotify = -1

    def _watch(self, path: str, events: int) -> None:
        if self._inotify < 0 or self._libc is None:
            return
        # Of a file that is watched already it gives the number that the watch has.
        watch = self._libc.inotify_add_watch(self._inotify, os.fsencode(path), events)
        before = self._watches.pop(path, watch)
        if before != watch:
            # The file of that name is another one now.
            self._libc.inotify_rm_watch(self._inotify, before)
        if watch >= 0:
            self._watches[path] = watch

    def _read(self) -> None:
        try:
            while os.read(self._inotify, 1 << 14):
                pass
        except BlockingIOError:
            self._changed.set()
