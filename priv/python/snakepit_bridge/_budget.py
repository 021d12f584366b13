"""How often something may be done."""

from __future__ import annotations

from time import monotonic


class Budget:
    """So much a second in the long run, and as much at once. Not thread-safe."""

    __slots__ = ("_filled", "_left", "_rate")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left = rate
        self._filled = monotonic()

    def take(self) -> bool:
        """Takes one, if there is one."""
        now = monotonic()
        self._left = min(self._rate, self._left + (now - self._filled) * self._rate)
        self._filled = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def spend(self, more: float) -> None:
        """What was taken has cost more than one. The budget may owe it."""
        self._left -= more
