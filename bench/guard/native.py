"""The paths of the Rust crates that link into a program of their own,
``native/client/examples/guard``."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .callgrind import Profile, command, profiles
from .measured import Measured

__all__ = ["PROGRAM", "measure"]

PROGRAM = Path("_build/native/release/examples/guard").absolute()

_MARKS = ("--zero-before=*snakepit_guard_start*", "--dump-before=*snakepit_guard_stop*")


def measure(prefixes: Sequence[str]) -> dict[str, Measured]:
    """What each operation costs, by path."""
    with tempfile.TemporaryDirectory(prefix="snakepit-guard-") as directory:
        out = Path(directory, "counts")
        output = subprocess.run(
            [*command(out, *_MARKS), PROGRAM, *prefixes],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
        ).stdout
        return dict(_read(*pair) for pair in zip(output.splitlines(), profiles(out)))


def _read(line: str, profile: Profile) -> tuple[str, Measured]:
    path, operations, allocations, size = line.split("\t")
    times = int(operations)
    counts = {
        # The C library is left out: what it does depends on the system and on the processor.
        "instructions": profile.of(PROGRAM.name).instructions / times,
        "allocations": int(allocations) / times,
        "bytes": int(size) / times,
    }
    return path, Measured(counts, profile, times)
