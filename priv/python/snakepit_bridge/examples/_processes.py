"""Processes that train on a part of the data each, and never outlive whoever started them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from ._network import Array, Parameters

#: Seconds after which a wait looks whether the caller still wants the result.
LOOK = 0.05


class Part(NamedTuple):
    """What one process made of an epoch."""

    rows: int
    parameters: Parameters
    loss: float
    right: int
    memory_mb: float


class Processes:
    """One process for each part of the data, until the end of the ``with`` block.

    They are plain children in the process group of the worker: what ends that ends them, and the
    end of their connection does too. The module multiprocessing would leave a process of its own
    behind.
    """

    def __init__(self, parts: list[tuple[Array, Array]], check: Callable[[], None]) -> None:
        """``check`` is called while there is nothing to do; what it raises ends the wait."""
        self._parts = parts
        self._check = check
        self._started: list[tuple[subprocess.Popen[bytes], Connection]] = []

    def __enter__(self) -> Processes:
        try:
            for _ in self._parts:
                self._start()
            for part, (_, connection) in zip(self._parts, self._started):
                self._check()
                self._tell(connection, part)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._end()

    def epoch(self, parameters: Parameters, rate: float, batch_size: int, seed: int) -> list[Part]:
        """What each makes of the same parameters. Raises RuntimeError if one has ended."""
        answers: dict[Connection, Part] = {}
        for number, (_, connection) in enumerate(self._started):
            self._tell(connection, (parameters, rate, batch_size, (seed, number)))
        while len(answers) < len(self._started):
            for ready in wait(self._unanswered(answers), LOOK):
                assert isinstance(ready, Connection)
                try:
                    answers[ready] = Part(*ready.recv())
                except (EOFError, OSError):
                    self._fail(ready)
            self._check()
        return [answers[connection] for _, connection in self._started]

    def _unanswered(self, answers: dict[Connection, Part]) -> list[Connection]:
        return [connection for _, connection in self._started if connection not in answers]

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "snakepit_bridge.examples._training_process",
                    str(descriptor),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=[descriptor],
            )
        self._started.append((process, Connection(ours.detach())))

    def _tell(self, connection: Connection, message: Any) -> None:
        try:
            connection.send(message)
        except OSError:
            self._fail(connection)

    def _fail(self, connection: Connection) -> None:
        for number, (process, its) in enumerate(self._started, start=1):
            if its is connection:
                raise RuntimeError(
                    f"training process {number} of {len(self._started)} has ended with"
                    f" status {process.wait(timeout=10)}"
                )

    def _end(self) -> None:
        for process, connection in self._started:
            process.kill()
            connection.close()
        for process, _ in self._started:
            process.wait()


def _environment() -> dict[str, str]:
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    # One thread each: the processes themselves are what runs at the same time.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)}
