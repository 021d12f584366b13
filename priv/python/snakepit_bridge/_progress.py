"""What handlers say of their progress, written to the parent process with the id of the call."""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[str], None]

#: So many reports a second are passed on in the long run, and so many at once.
RATE = 1_000
#: The metadata that a job has.
JOB = "snakepit-job"
#: A longer message is cut.
MOST = 1_000

_tell: Tell | None = None
_lock = allocate_lock()
_budget = float(RATE)
_filled = 0.0


def forward(tell: Tell) -> None:
    """Has reports passed to ``tell`` as JSON."""
    global _tell
    _tell = tell


def report(request_id: str, fraction: float, message: str | None = None) -> None:
    """Passes on that the call is so far, unless there were too many reports of late."""
    # Numbers of numpy are none of Python's, and NaN is no number.
    fraction = float(fraction)
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"progress is a number from 0 to 1, not {fraction!r}")
    # The end of the way is always told.
    if _tell is None or not (_take() or fraction == 1.0):
        return
    from json import dumps

    text = None if message is None else str(message)[:MOST]
    _tell(
        dumps(
            {
                "event": "progress",
                "request_id": request_id,
                "fraction": fraction,
                "message": text,
            }
        )
    )


def end_reports(request_id: str, metadata: dict[str, str]) -> None:
    """Tells that no more reports of this call come, if somebody waits for that."""
    if _tell is not None and JOB in metadata:
        from json import dumps

        _tell(dumps({"event": "progress", "request_id": request_id, "over": True}))


def _take() -> bool:
    """Takes one report from the budget, which fills with time."""
    global _budget, _filled
    with _lock:
        now = monotonic()
        _budget = min(RATE, _budget + (now - _filled) * RATE)
        _filled = now
        if _budget < 1.0:
            return False
        _budget -= 1.0
        return True
