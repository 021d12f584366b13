"""What is called when the counts of a worker are to be noted."""

from __future__ import annotations

import os

from snakepit_bridge import command

__all__ = ["guard_mark"]


@command
def guard_mark() -> None:
    """Calls a function of the C library that nobody else does."""
    os.ctermid()
