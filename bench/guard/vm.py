"""The paths inside the NIF, which runs nowhere but in the VM: so that runs under callgrind."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .callgrind import command, profiles
from .measured import Measured
from .rounds import medians, one_processor

__all__ = ["measure"]

_PATIENCE = 600
_NIF = "snakepit_nif"

# On the way to the VM one program calls the next. Its helpers, and with them the worker, are left
# out.
_PROGRAMS = (
    "--trace-children=yes",
    "--trace-children-skip=*erl_child_setup,*inet_gethost,*dirname,*basename,*readlink,*expr,*sed",
)

# Fewer threads, which do not wait for work with their eyes open.
_VM = "+S 1:1 +SDcpu 1:1 +SDio 1 +A 1 +sbwt none +sbwtdcpu none +sbwtdio none"


def measure(prefixes: Sequence[str]) -> dict[str, Measured]:
    """What each call and chunk costs, by path."""
    if prefixes and not any(prefix.startswith("nif") for prefix in prefixes):
        return {}
    with one_processor(), tempfile.TemporaryDirectory(prefix="snakepit-guard-") as directory:
        out = Path(directory, "counts")
        ebin = Path("_build", os.environ.get("MIX_ENV", "dev"), "lib/snakepit/ebin")
        process = subprocess.Popen(
            [
                *command(Path(f"{out}-%p"), "--dump-before=symlink", *_PROGRAMS),
                *("elixir", "--erl", _VM, "-pa", ebin, "bench/guard/vm.exs"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # Valgrind has much to say about a VM.
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            output, errors = process.communicate(timeout=_PATIENCE)
        finally:
            process.kill()
        if process.returncode != 0:
            raise RuntimeError(f"the VM has failed:\n{errors}{output}")
        rounds = medians(output, profiles(Path(f"{out}-{process.pid}")), _NIF)
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
