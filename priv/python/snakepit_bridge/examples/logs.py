"""Log files, followed while they grow.

Serve it with ``modules: ["snakepit_bridge.examples.logs"]``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

from snakepit_bridge import Final, InvalidArguments, stream

from ._changes import Changes
from ._follow import Follower, NotAFile
from ._lines import MOST_CONTEXT, PATTERNS, Analysis, compiled


@stream
async def tail_and_analyze(
    log_path: str,
    patterns: list[str] | str | None = None,
    error_patterns: list[str] | str | None = None,
    context_lines: int = 3,
    from_start: bool = False,
    stop_file: str | None = None,
    timeout_ms: int | None = None,
) -> AsyncIterator[dict[str, Any] | Final]:
    """Follows a log file and tells of each line that one of the patterns is found in, at once.

    The patterns are regular expressions, ``error_patterns`` another name for them. The file is
    followed by its name: when it is rotated, the old one is read to its end and then the new one
    from its start; when it is truncated, from its start again; when it is not there yet, as soon as
    it is. What stands in it at the beginning is left out, unless ``from_start`` is true.

    Chunks have ``log_line``, ``pattern_matched`` (the first of the patterns that is in the line),
    ``severity`` (FATAL, ERROR, WARN, INFO or DEBUG), ``timestamp`` (that of the line, or the
    present time), ``context`` (the lines before it, ``context_lines`` at most) and ``log_path``.

    It goes on until the caller wants no more, until ``stop_file`` is there, or until ``timeout_ms``
    are over. In the last two cases there is a final chunk: ``reason`` ("stop_file" or "timeout"),
    and how many ``lines``, ``matches``, ``rotations`` and ``truncations`` there were. What was in
    the log file when the stop file came is in it.

    Raises InvalidArguments for a pattern that is none and for what is no file.
    """
    if not 0 <= context_lines <= MOST_CONTEXT:
        raise InvalidArguments(
            "context_lines", f"argument 'context_lines' is a number from 0 to {MOST_CONTEXT}"
        )
    analysis = Analysis(_patterns(patterns, error_patterns), context_lines)
    end = _End(stop_file, timeout_ms)
    follower = _follower(log_path, from_start)
    changes = Changes(log_path, *([] if stop_file is None else [stop_file]))
    try:
        while True:
            changes.arm()
            reason = end.reason()
            for lines in follower.read():
                for line in lines:
                    if (told := analysis.add(line)) is not None:
                        yield {**told, "log_path": log_path}
                if end.is_late():
                    break
                # Who follows another file on this worker has a turn.
                await asyncio.sleep(0)
            if reason is not None:
                break
            await changes.wait(end.seconds_left())
        for line in follower.rest():
            if (told := analysis.add(line)) is not None:
                yield {**told, "log_path": log_path}
        yield Final(
            {
                "reason": reason,
                "lines": analysis.lines,
                "matches": analysis.matches,
                "rotations": follower.rotations,
                "truncations": follower.truncations,
            }
        )
    except NotAFile as error:
        raise InvalidArguments("log_path", str(error)) from None
    finally:
        changes.close()
        follower.close()


class _End:
    """When nothing more is to be told."""

    def __init__(self, stop_file: str | None, timeout_ms: int | None) -> None:
        self._stop_file = stop_file
        self._deadline = None if timeout_ms is None else monotonic() + timeout_ms / 1000

    def reason(self) -> str | None:
        if self._stop_file is not None and os.path.exists(self._stop_file):
            return "stop_file"
        return "timeout" if self.is_late() else None

    def is_late(self) -> bool:
        return self.seconds_left() == 0.0

    def seconds_left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())


def _patterns(patterns: list[str] | str | None, error_patterns: list[str] | str | None) -> Any:
    if patterns is not None:
        return compiled("patterns", patterns)
    if error_patterns is not None:
        return compiled("error_patterns", error_patterns)
    return compiled("patterns", list(PATTERNS))


def _follower(path: str, from_start: bool) -> Follower:
    try:
        return Follower(path, from_start)
    except NotAFile as error:
        raise InvalidArguments("log_path", str(error)) from None
