"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO


@contextmanager
def replacing(target: str) -> Iterator[BinaryIO]:
    """A file that has its name when it is complete: nobody ever sees half of it."""
    partial = f"{target}.{os.getpid()}"
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
