"""What the tests share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def make_call(**attributes: Any) -> Any:
    """What a transport passes to a handler's entry."""
    known = {
        "command": "test",
        "request_id": "request-1",
        "session_id": "",
        "metadata": {},
        "worker_id": "worker-1",
        "deadline": None,
        "cancelled": False,
    }
    return SimpleNamespace(**{**known, **attributes})
