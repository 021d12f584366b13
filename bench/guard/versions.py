"""What the counts depend on beside the sources."""

from __future__ import annotations

import subprocess
import sys

__all__ = ["here", "needed"]


def here() -> dict[str, str]:
    """The versions that are in use."""
    lines = subprocess.run(
        ["rustc", "-vV"], cwd="native", check=True, capture_output=True, text=True
    ).stdout.splitlines()
    rustc = dict(line.split(": ", 1) for line in lines if ": " in line)
    return {
        "rustc": f"{rustc['release']} {rustc['host']}",
        "python": ".".join(map(str, sys.version_info[:2])),
        "interpreter": " ".join(sys.version.split()),
    }


def needed(path: str) -> list[str]:
    """Those that have to be the same for counts of this path to be comparable."""
    if path.startswith("python/"):
        return ["interpreter"]
    return ["rustc", "python"] if path.startswith("worker/") else ["rustc"]
