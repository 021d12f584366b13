"""Share prices, analysed as they come in: real ones, replayed at any speed.

Serve it with ``modules: ["snakepit_bridge.examples.stocks"]``. The prices are in the package
bokeh_sampledata: ``pip install --no-deps bokeh_sampledata``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from time import monotonic
from typing import Any

from snakepit_bridge import Final, InvalidArguments, stream

from ._indicators import Indicator, Sma, Values, indicator
from ._prices import Quote, by_day, choose, read_prices

THRESHOLDS = {"rsi_oversold": 30.0, "rsi_overbought": 70.0, "volume_spike": 2.0}
#: A spike is a volume that much larger than the mean of so many days before.
VOLUME_DAYS = 20


@stream
async def realtime_stock_analysis(
    symbols: list[str],
    indicators: tuple[str, ...] = ("RSI", "MACD", "SMA_20", "SMA_50"),
    alert_thresholds: dict[str, float] | None = None,
    days_per_second: float | None = None,
    since: str | None = None,
    until: str | None = None,
    prices_path: str | None = None,
) -> AsyncIterator[dict[str, Any] | Final]:
    """Replays the days of some shares and tells what technical analysis makes of each.

    Day after day in the order of the symbols, ``days_per_second`` of them, or as fast as the
    caller takes them. ``since`` and ``until`` are dates, as in 2013-03-01. ``prices_path`` is a
    CSV file with other prices, see ``_prices.read_prices``.

    Chunks have ``symbol``, ``timestamp`` (the day), ``price`` (adjusted for splits and dividends),
    ``volume``, the indicators (``rsi``; ``macd``, ``macd_signal``, ``macd_histogram``; ``sma_20``
    and so on; None until there are enough days), ``alerts`` (the names of the thresholds that were
    passed: ``rsi_oversold``, ``rsi_overbought``, ``volume_spike``), and ``trading_signal``, also as
    ``signal``: BUY when the RSI is below ``rsi_oversold``, SELL when it is above
    ``rsi_overbought``, else HOLD. Without RSI among the indicators it is BUY or SELL on the day
    that MACD crosses its signal line.

    The final chunk has the numbers of ``days`` and ``quotes``, ``signals`` (how many of each), and
    ``unknown_symbols``, those that there are no prices of.
    """
    analyses, all_quotes, unknown = {}, [], []
    thresholds = _thresholds(alert_thresholds or {})
    prices = await asyncio.to_thread(read_prices, prices_path)
    for symbol in dict.fromkeys(symbols):
        analyses[symbol] = _Analysis(indicators, thresholds)
        quotes = choose(prices, symbol)
        if quotes is None:
            unknown.append(symbol)
        else:
            all_quotes.append(quotes)
    if not all_quotes:
        known = ", ".join(sorted(prices))
        raise InvalidArguments("symbols", f"argument 'symbols': there are prices of {known}")

    pace = _Pace(days_per_second)
    days = 0
    signals: Counter[str] = Counter()
    for day in by_day(all_quotes, _date("since", since), _date("until", until)):
        await pace.next()
        days += 1
        for quote in day:
            chunk = analyses[quote.symbol].add(quote)
            signals[chunk["trading_signal"]] += 1
            yield chunk
    yield Final(
        {
            "days": days,
            "quotes": sum(signals.values()),
            "signals": dict(signals),
            "unknown_symbols": unknown,
        }
    )


class _Analysis:
    """What the days of one share have come to so far."""

    def __init__(self, indicators: tuple[str, ...], thresholds: dict[str, float]) -> None:
        self._indicators = [_indicator(name) for name in dict.fromkeys(indicators)]
        self._thresholds = thresholds
        self._volumes = Sma(VOLUME_DAYS, "volume")
        self._usual_volume: float | None = None
        self._histogram: float | None = None

    def add(self, quote: Quote) -> dict[str, Any]:
        values: Values = {}
        for one in self._indicators:
            values.update(one.add(quote.price))
        signal = self._signal(values)
        return {
            "symbol": quote.symbol,
            "timestamp": quote.date,
            "price": round(quote.price, 4),
            "volume": quote.volume,
            **{name: value and round(value, 4) for name, value in values.items()},
            "trading_signal": signal,
            "signal": signal,
            "alerts": self._alerts(values.get("rsi"), quote.volume),
        }

    def _signal(self, values: Values) -> str:
        rsi = values.get("rsi")
        if "rsi" in values:
            if rsi is not None and rsi < self._thresholds["rsi_oversold"]:
                return "BUY"
            if rsi is not None and rsi > self._thresholds["rsi_overbought"]:
                return "SELL"
            return "HOLD"
        before, self._histogram = self._histogram, values.get("macd_histogram")
        if before is None or self._histogram is None or (before > 0) == (self._histogram > 0):
            return "HOLD"
        return "BUY" if self._histogram > 0 else "SELL"

    def _alerts(self, rsi: float | None, volume: int) -> list[str]:
        alerts = []
        if rsi is not None and rsi < self._thresholds["rsi_oversold"]:
            alerts.append("rsi_oversold")
        if rsi is not None and rsi > self._thresholds["rsi_overbought"]:
            alerts.append("rsi_overbought")
        usual, self._usual_volume = self._usual_volume, self._volumes.add(volume)["volume"]
        if usual is not None and volume > self._thresholds["volume_spike"] * usual:
            alerts.append("volume_spike")
        return alerts


class _Pace:
    """So many a second, without the delays adding up."""

    def __init__(self, per_second: float | None) -> None:
        if per_second is not None and not per_second > 0:
            raise InvalidArguments("days_per_second", "argument 'days_per_second' must be positive")
        self._interval = 0.0 if per_second is None else 1 / per_second
        self._due = monotonic()

    async def next(self) -> None:
        if self._interval:
            await asyncio.sleep(self._due - monotonic())
            # Whoever reads slowly is not made up for by a burst.
            self._due = max(self._due + self._interval, monotonic())


def _thresholds(given: dict[str, float]) -> dict[str, float]:
    for name in given:
        if name not in THRESHOLDS:
            raise InvalidArguments(
                "alert_thresholds",
                f"argument 'alert_thresholds': {name!r} is none of {', '.join(THRESHOLDS)}",
            )
    return {**THRESHOLDS, **given}


def _indicator(name: str) -> Indicator:
    try:
        return indicator(name)
    except ValueError as error:
        raise InvalidArguments("indicators", f"argument 'indicators': {error}") from None


def _date(argument: str, text: str | None) -> str:
    if text is None:
        return "" if argument == "since" else "9999-12-31"
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise InvalidArguments(argument, f"argument {argument!r}: {error}") from None
