"""Did you mean …?"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 10


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like ``name``, or None if none does."""
    from difflib import get_close_matches

    matches = get_close_matches(name, list(known), n=1)
    return matches[0] if matches else None


def hint(name: str, known: Iterable[str], kind: str) -> str:
    """The end of a message about the unknown ``name``: what it may have meant, or what there is."""
    names = sorted(known)
    match = closest(name, names)
    if match is not None:
        return f", did you mean {match!r}?"
    if not names:
        return f"; there are no {kind}"
    rest = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"; {kind}: {', '.join(names[:MOST])}{rest}"
