"""The life of a worker from the moment it listens."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from threading import Thread

from ._threads import current_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._engine import Engine
    from ._process import Process

__all__ = ["Serving", "current_call"]

#: After the parent has gone, the handlers have so long to clean up, and the stop hooks the rest.
ORPHAN_FAREWELL = 0.5

#: Handlers that go on after the drain are given so long before the process ends under them.
LAST_HANDLERS = 0.1


class Serving:
    """Serves until SIGTERM, until the parent has gone, or until the transport fails.

    Made on the main thread, before the transport takes its first call.
    """

    def __init__(self, engine: Engine, process: Process, drain: float) -> None:
        self._engine = engine
        self._process = process
        self._drain = drain
        self._reason_out, self._reason_in = os.pipe()
        os.set_blocking(self._reason_in, False)
        # Before anybody can know that the worker serves, and tell it to stop.
        self._catch_signals()
        process.when_parent_goes(lambda: self._end(b"o"))

    def fail(self) -> None:
        """The transport cannot go on: the worker is to end with a failure. From any thread."""
        self._end(b"f")

    def run(self, close: Callable[[bool], None]) -> int:
        """Runs the handlers that ask for the main thread. Returns the exit status at the end.

        ``close`` is called when no call is to be served any more, with whether there is somebody to
        whom the last replies may still be on their way.
        """
        reasons: list[bytes] = []
        ending = Thread(
            target=self._await_end, args=(close, reasons), name="snakepit-end", daemon=True
        )
        ending.start()
        self._engine.main_thread.run()
        ending.join()
        all_ended = self._engine.threads.join(LAST_HANDLERS)
        self._engine.dispatcher.stop()
        if b"o" in reasons:
            self._process.end_group()
        status = 1 if b"f" in reasons else 0
        if not all_ended:
            # A thread inside Python while the interpreter is taken down may bring a crash.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        return status

    def _catch_signals(self) -> None:
        # A handler on the main thread may be long inside a library, and Python tells of the signal
        # only after it; the wake-up pipe tells at once.
        signal.set_wakeup_fd(self._reason_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: self._end(b"t"))
        if not self._process.has_parent:
            signal.signal(signal.SIGINT, lambda *_: self._end(b"t"))

    def _end(self, reason: bytes) -> None:
        with suppress(BlockingIOError):  # there are reasons enough
            os.write(self._reason_in, reason)

    def _await_end(self, close: Callable[[bool], None], reasons: list[bytes]) -> None:
        signals = {bytes([signal.SIGTERM]), b"t"}
        if not self._process.has_parent:
            signals.add(bytes([signal.SIGINT]))
        while True:
            reason = os.read(self._reason_out, 1)
            if reason in signals:
                draining = Thread(target=self._drained, daemon=True)
                draining.start()
                signals.clear()
            elif reason in (b"d", b"f", b"o"):
                break
        reasons.append(reason)
        if reason != b"d":
            self._engine.draining = True
            self._engine.calls.cancel_all()
            self._engine.calls.until_idle(ORPHAN_FAREWELL)
        try:
            close(reason == b"d")
        finally:
            # Whatever became of that, the main thread is not to wait for ever.
            self._engine.stop()

    def _drained(self) -> None:
        self._engine.drain(self._drain)
        self._end(b"d")
