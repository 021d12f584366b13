"""The paths inside a worker, whose extension module does not link into a program of its own: a real
one is started as a pool starts it, and called by the native client."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Timer

from .callgrind import command, profiles
from .measured import Measured
from .native import PROGRAM
from .rounds import medians, one_processor

__all__ = ["measure"]

_PATIENCE = 300
_CAPACITY = 16

_NATIVE = "_native"
_PYTHON = ("python", "libpython")


def measure(prefixes: Sequence[str]) -> dict[str, Measured]:
    """What each call and chunk costs, by path: in the native part, and in the interpreter."""
    if prefixes and not any(prefix.startswith(("worker", "python")) for prefix in prefixes):
        return {}
    with one_processor(), tempfile.TemporaryDirectory(prefix="snakepit-guard-") as directory:
        output = _run(Path(directory))
        rounds = medians(output, profiles(Path(directory, "counts")), _NATIVE)
    paths = {}
    for name, (profile, operations) in rounds.items():
        native, python = profile.of(_NATIVE), profile.of(*_PYTHON)
        counts = {
            "instructions": native.instructions / operations,
            "allocations": native.allocations / operations,
        }
        paths[f"worker/{name}"] = Measured(counts, profile, operations)
        counts = {"instructions": python.instructions / operations}
        paths[f"python/{name}"] = Measured(counts, profile, operations)
    return {
        path: measured
        for path, measured in paths.items()
        if not prefixes or path.startswith(tuple(prefixes))
    }


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
