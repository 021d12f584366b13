"""What a line of a log says: whether it is of interest, how bad it is, and when it was written."""

from __future__ import annotations

import json
import re
from collections import deque
from datetime import datetime
from typing import Any

from snakepit_bridge import InvalidArguments

#: What is looked for when nobody says.
PATTERNS = ("FATAL|CRITICAL", "ERROR", "Exception|Traceback", "WARN")

#: More lines before each match than this are not kept.
MOST_CONTEXT = 1_000

# The words that loggers write, by the name that is told; the worst first.
_SEVERITIES = [
    ("FATAL", re.compile(r"\b(?:FATAL|CRITICAL|CRIT|EMERG(?:ENCY)?|ALERT|PANIC)\b", re.IGNORECASE)),
    ("ERROR", re.compile(r"\b(?:ERROR|ERR|SEVERE)\b", re.IGNORECASE)),
    ("WARN", re.compile(r"\bWARN(?:ING)?\b", re.IGNORECASE)),
    ("INFO", re.compile(r"\b(?:INFO|NOTICE)\b", re.IGNORECASE)),
    ("DEBUG", re.compile(r"\b(?:DEBUG|TRACE)\b", re.IGNORECASE)),
]
_FAILURE = re.compile(r"Error\b|Exception\b|Traceback\b")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)")


class Analysis:
    """Looks at one line after the other, and remembers those that went before."""

    def __init__(self, patterns: list[re.Pattern[str]], context_lines: int) -> None:
        self.lines = 0
        self.matches = 0
        self._patterns = patterns
        self._before: deque[str] = deque(maxlen=context_lines)

    def add(self, line: str) -> dict[str, Any] | None:
        """What there is to tell of a line, or None if no pattern is in it."""
        self.lines += 1
        found = next((pattern for pattern in self._patterns if pattern.search(line)), None)
        told = None
        if found is not None:
            self.matches += 1
            told = {
                "timestamp": timestamp(line),
                "log_line": line,
                "severity": severity(line),
                "pattern_matched": found.pattern,
                "context": list(self._before),
            }
        self._before.append(line)
        return told


def severity(line: str) -> str:
    """FATAL, ERROR, WARN, INFO or DEBUG: the level that stands first in the line.

    A line that names an error or exception and no level is an ERROR, any other INFO.
    """
    # The level comes early in a line; later the same words may be part of what is told.
    there = [(found.start(), name) for name, words in _SEVERITIES if (found := words.search(line))]
    if there:
        return min(there)[1]
    return "ERROR" if _FAILURE.search(line) else "INFO"


def timestamp(line: str) -> str:
    """The time in the line, or else the present one, as in 2025-01-20T15:30:45."""
    found = _TIME.search(line)
    return f"{found[1]}T{found[2]}" if found else datetime.now().isoformat(timespec="seconds")


def compiled(argument: str, patterns: list[str] | str) -> list[re.Pattern[str]]:
    """Regular expressions; a text is a JSON list of them. Raises InvalidArguments."""
    expressions = []
    for pattern in _texts(argument, patterns):
        try:
            expressions.append(re.compile(pattern))
        except re.error as error:
            raise InvalidArguments(
                argument, f"argument {argument!r}: {pattern!r} is no regular expression: {error}"
            ) from None
    return expressions


def _texts(argument: str, patterns: list[str] | str) -> list[str]:
    if not isinstance(patterns, str):
        return patterns
    try:
        read = json.loads(patterns)
    except ValueError:
        read = None
    if isinstance(read, list) and all(isinstance(pattern, str) for pattern in read):
        return read
    raise InvalidArguments(argument, f"argument {argument!r} must be a list of texts")
