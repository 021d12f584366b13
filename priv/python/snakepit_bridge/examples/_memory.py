"""How much memory the worker process takes."""

from __future__ import annotations

import os
import sys


def resident_mb() -> float:
    """The resident memory of this process in MB (2**20 bytes).

    Where the system tells only the most it ever was, as on macOS, it is that.
    """
    try:
        with open("/proc/self/statm", "rb") as file:
            pages = int(file.read().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(most / (2**20 if sys.platform == "darwin" else 2**10), 1)
