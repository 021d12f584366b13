"""Technical indicators, kept up to date value by value in constant memory."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Protocol

#: The longest moving average that can be asked for.
MOST_VALUES = 1_000

Values = dict[str, "float | None"]


class Indicator(Protocol):
    def add(self, value: float) -> Values:
        """Takes the next value. Gives the figures by their names; None until there are enough."""


class Sma:
    """Simple moving average: the mean of the last ``count`` values."""

    def __init__(self, count: int, name: str | None = None) -> None:
        self._name = name or f"sma_{count}"
        self._last: deque[float] = deque(maxlen=count)

    def add(self, value: float) -> Values:
        self._last.append(value)
        full = len(self._last) == self._last.maxlen
        return {self._name: sum(self._last) / len(self._last) if full else None}


class Rsi:
    """Relative strength index after Wilder: 0 after losses only, 100 after gains only.

    The averages of the gains and losses begin with the mean of the first ``count`` changes; then
    each change counts 1/count.
    """

    def __init__(self, count: int = 14) -> None:
        self._count = count
        self._seen = 0
        self._before = 0.0
        self._gain = 0.0
        self._loss = 0.0

    def add(self, value: float) -> Values:
        if self._seen > 0:
            change = value - self._before
            weight = 1 / min(self._seen, self._count)
            self._gain += weight * (max(change, 0.0) - self._gain)
            self._loss += weight * (max(-change, 0.0) - self._loss)
        self._before = value
        self._seen += 1
        if self._seen <= self._count:
            return {"rsi": None}
        total = self._gain + self._loss
        return {"rsi": 100 * self._gain / total if total else 50.0}


class Macd:
    """Moving average convergence/divergence: ``macd`` is the exponential moving average over 12
    values less that over 26, ``macd_signal`` the one of ``macd`` over 9, and ``macd_histogram``
    their difference. The averages begin with their first value.
    """

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        self._fast, self._slow, self._signal = _Ema(fast), _Ema(slow), _Ema(signal)
        self._first = slow
        self._first_signal = slow + signal - 1
        self._seen = 0

    def add(self, value: float) -> Values:
        self._seen += 1
        macd = self._fast.add(value) - self._slow.add(value)
        signal = self._signal.add(macd)
        signalled = self._seen >= self._first_signal
        return {
            "macd": macd if self._seen >= self._first else None,
            "macd_signal": signal if signalled else None,
            "macd_histogram": macd - signal if signalled else None,
        }


class _Ema:
    def __init__(self, span: int) -> None:
        self._weight = 2 / (span + 1)
        self._mean: float | None = None

    def add(self, value: float) -> float:
        before = value if self._mean is None else self._mean
        self._mean = before + self._weight * (value - before)
        return self._mean


_NAMED: dict[str, Callable[[], Indicator]] = {"RSI": Rsi, "MACD": Macd}
_MOVING_AVERAGE = re.compile(r"SMA_(\d{1,4})")


def indicator(name: str) -> Indicator:
    """RSI, MACD, or SMA_ and a number. Raises ValueError."""
    if name in _NAMED:
        return _NAMED[name]()
    found = _MOVING_AVERAGE.fullmatch(name)
    if found is None or not 1 <= int(found[1]) <= MOST_VALUES:
        raise ValueError(f"there is no indicator {name!r}, but RSI, MACD, SMA_20, SMA_50 and so on")
    return Sma(int(found[1]))
