"""A handler that names what a worker has imported; it imports nothing that a worker does not."""

from __future__ import annotations

import sys

from snakepit_bridge import command

__all__ = ["bench_modules"]


@command
def bench_modules() -> dict[str, list[str]]:
    """All modules but this one, in the order in which they were imported."""
    return {"modules": [name for name in sys.modules if name != __name__]}
