"""The paths inside the NIF, which runs nowhere but in the VM: so that runs under callgrind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .callgrind import Profile, command, profiles
from .measured import Measured
from .rounds import medians, one_processor

__all__ = ["measure"]

_PATIENCE = 150
_NIF = "snakepit_nif"

# On the way to the VM one program calls the next. Its helpers, and with them the worker, are left
# out.
_PROGRAMS = (
    "--trace-children=yes",
    "--trace-children-skip=*erl_child_setup,*inet_gethost,*dirname,*basename,*readlink,*expr,*sed",
)

# Few threads, which do not wait for work with their eyes open.
_VM = "+S 1:1 +SDcpu 1:1 +SDio 1 +A 1 +sbwt none +sbwtdcpu none +sbwtdio none"

# Valgrind follows code that changes behind a second mapping less well, and the JIT has one. It has
# been seen to fail with either, so both are tried.
_MAPPINGS = ("+JMsingle true", "+JMsingle false")


def measure(prefixes: Sequence[str]) -> dict[str, Measured]:
    """What each call and chunk costs, by path. Nothing where the VM fails under valgrind, which is
    not made for programs that write code."""
    if prefixes and not any(prefix.startswith("nif") for prefix in prefixes):
        return {}
    for mapping in _MAPPINGS:
        with one_processor(), tempfile.TemporaryDirectory(prefix="guard-") as directory:
            rounds = _run(Path(directory), f"{_VM} {mapping}")
        if rounds:
            break
    else:
        print("The VM does not run under valgrind here: nif/... is not counted.", file=sys.stderr)
    paths = {}
    for name, (profile, operations) in rounds.items():
        nif = profile.of(_NIF)
        counts = {
            "instructions": nif.instructions / operations,
            "allocations": nif.allocations / operations,
        }
        paths[f"nif/{name}"] = Measured(counts, profile, operations)
    return {
        path: measured
        for path, measured in paths.items()
        if not prefixes or path.startswith(tuple(prefixes))
    }


def _run(directory: Path, flags: str) -> dict[str, tuple[Profile, int]]:
    out = directory / "counts"
    ebin = Path("_build", os.environ.get("MIX_ENV", "dev"), "lib/snakepit/ebin")
    # Beforehand: compilers load and drop much code.
    subprocess.run(["elixirc", "-o", directory, "bench/guard/vm.ex"], check=True)
    process = subprocess.Popen(
        [
            *command(Path(f"{out}-%p"), "--dump-before=symlink", *_PROGRAMS),
            *("elixir", "--erl", flags, "-pa", str(ebin), "-pa", str(directory)),
            *("-e", "Guard.Paths.run()"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # Valgrind has much to say about a VM.
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        output, errors = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        output, errors = "", "the VM hangs"
    finally:
        process.kill()
    if process.returncode == 0:
        return medians(output, profiles(Path(f"{out}-{process.pid}")), _NIF)
    print(errors, file=sys.stderr)
    return {}
