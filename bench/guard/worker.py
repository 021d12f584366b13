"""The paths inside a worker, whose extension module does not link into a program of its own: a real
one is started as a pool starts it, and called by the native client."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from .callgrind import Profile, command, profiles
from .measured import Measured
from .native import PROGRAM

__all__ = ["measure"]

_PATIENCE = 300
_CAPACITY = 16

_NATIVE = "_native"
_PYTHON = ("python", "libpython")


def measure(prefixes: Sequence[str]) -> dict[str, Measured]:
    """What each call and chunk costs, by path: in the native part, and in the interpreter."""
    if prefixes and not any(prefix.startswith(("worker", "python")) for prefix in prefixes):
        return {}
    with _one_processor(), tempfile.TemporaryDirectory(prefix="snakepit-guard-") as directory:
        lines = _run(Path(directory)).splitlines()
        # A mark before each, and one behind.
        counted = profiles(Path(directory, "counts"))[1::2]
    rounds: dict[str, list[Profile]] = defaultdict(list)
    operations: dict[str, int] = {}
    for line, profile in zip(lines, counted):
        name, count = line.split("\t")
        rounds[name].append(profile)
        operations[name] = int(count)
    paths = {}
    for name, of_path in rounds.items():
        # Threads do not meet in the same order every time.
        profile = sorted(of_path, key=_instructions)[len(of_path) // 2]
        native, python, times = profile.of(_NATIVE), profile.of(*_PYTHON), operations[name]
        counts = {
            "instructions": native.instructions / times,
            "allocations": native.allocations / times,
        }
        paths[f"worker/{name}"] = Measured(counts, profile, times)
        paths[f"python/{name}"] = Measured(
            {"instructions": python.instructions / times}, profile, times
        )
    return {
        path: measured
        for path, measured in paths.items()
        if not prefixes or path.startswith(tuple(prefixes))
    }


def _instructions(profile: Profile) -> int:
    return profile.of(_NATIVE).instructions


def _run(directory: Path) -> str:
    socket = str(directory / "worker.sock")
    process = subprocess.Popen(
        [
            *command(directory / "counts", "--dump-before=ctermid"),
            *(sys.executable, "priv/python/grpc_bridge.py", "--socket", socket),
            *("--path", "bench", "--module", "bench_handlers", "--module", "guard.handlers"),
            *("--capacity", str(_CAPACITY)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    hangs = Timer(_PATIENCE, process.kill)
    hangs.start()
    try:
        # Says that it listens, or ends.
        if not process.stdout or not process.stdout.readline():
            raise RuntimeError("the worker did not start, see above")
        return subprocess.run(
            [PROGRAM, "--worker", socket],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_PATIENCE,
        ).stdout
    finally:
        # It ends with its standard input.
        process.communicate()
        hangs.cancel()


@contextmanager
def _one_processor() -> Iterator[None]:
    """There threads take turns, and the counts vary least."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)
