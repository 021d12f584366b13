"""What handlers say of their progress, written to the parent process with the id of the call."""

from __future__ import annotations

from ._budget import Budget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._context import Call

    Tell = Callable[[str], None]

#: So many reports a second of one call are passed on in the long run, and so many at once.
RATE = 1_000
#: The metadata that a job has.
JOB = "snakepit-job"
#: A longer message is cut.
MOST = 1_000

_tell: Tell | None = None


def forward(tell: Tell | None) -> None:
    """Has reports passed to ``tell`` as JSON."""
    global _tell
    _tell = tell


class Reports:
    """What one call says of its progress."""

    __slots__ = ("_budget", "_call", "_done")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._budget = Budget(RATE)
        self._done = False

    def report(self, fraction: float, message: str | None = None) -> None:
        """Passes on that the call is so far, unless there were too many reports of late."""
        fraction = _checked(fraction)
        # Nobody listens to a call that is no job.
        if _tell is None or JOB not in self._call.metadata or not self._may_tell(fraction):
            return
        from json import dumps

        text = None if message is None else str(message)[:MOST]
        _tell(
            dumps(
                {
                    "event": "progress",
                    "request_id": self._call.request_id,
                    "fraction": fraction,
                    "message": text,
                }
            )
        )

    def _may_tell(self, fraction: float) -> bool:
        if not self._budget.take() and (self._done or fraction < 1.0):
            return False
        # The end of the way is told in any case, once.
        self._done = self._done or fraction == 1.0
        return True


def _checked(given: Any) -> float:
    # Numbers of numpy are none of Python's; a text is no number, and neither is NaN.
    fraction = -1.0 if isinstance(given, (str, bytes)) else float(given)
    if 0.0 <= fraction <= 1.0:
        return fraction
    raise ValueError(f"progress is a number from 0 to 1, not {given!r}")


def end_reports(request_id: str, metadata: dict[str, str]) -> None:
    """Tells that no more reports of this call come, if somebody waits for that."""
    if _tell is not None and JOB in metadata:
        from json import dumps

        _tell(dumps({"event": "progress", "request_id": request_id, "over": True}))
