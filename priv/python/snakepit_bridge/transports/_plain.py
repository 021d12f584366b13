"""Values for a plain peer, by the rule it knows: text and bytes as they are, everything else as
JSON; on the way in what parses as JSON is decoded. The native transport writes by this too."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from . import _json
from ._failure import Refused

__all__ = ["Refused", "read", "write"]


def read(value: bytes) -> Any:
    """The value of one entry."""
    with suppress(ValueError, RecursionError):  # not JSON, or in no encoding that it may have
        return json.loads(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def write(value: Any, path: str) -> bytes:
    """One entry. Raises Refused, which names the path."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        with suppress(UnicodeEncodeError):  # told below
            return str.encode(value)
    return _json.dumps(value, path, forms=False)
