"""Real daily prices: AAPL, FB, GOOG, IBM and MSFT, from 2000 to 2013.

They come in the package bokeh_sampledata (Quandl WIKI, in the public domain), whose file is read
without importing it: ``pip install --no-deps bokeh_sampledata``.
"""

from __future__ import annotations

import csv
import gzip
import heapq
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from ._package_data import data_file

#: Until 2014 the share that is GOOGL today was called GOOG.
_FORMER = {"GOOGL": "GOOG", "META": "FB"}


class Quote(NamedTuple):
    """A day of a share. ``price`` is the close, adjusted for splits and dividends."""

    symbol: str
    date: str
    price: float
    volume: int


def read_prices(path: str | None = None) -> dict[str, list[Quote]]:
    """The days of each symbol in their order.

    ``path`` is a CSV file with the columns Ticker, Date (as in 2013-03-01), Volume, and Adj Close
    or Close; those of bokeh_sampledata if not given.
    """
    prices: dict[str, list[Quote]] = {}
    if path is None:
        path = data_file("bokeh_sampledata", "_data", "stocks.csv.gz")
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            price = float(row.get("Adj Close") or row["Close"])
            quote = Quote(row["Ticker"], row["Date"], price, int(row["Volume"]))
            prices.setdefault(quote.symbol, []).append(quote)
    for quotes in prices.values():
        quotes.sort(key=attrgetter("date"))
    return prices


def choose(prices: dict[str, list[Quote]], symbol: str) -> list[Quote] | None:
    """The days of a symbol, which may be the present name of a share; None if there are none."""
    quotes = prices.get(symbol) or prices.get(_FORMER.get(symbol, ""))
    return quotes and [quote._replace(symbol=symbol) for quote in quotes]


def by_day(all_quotes: list[list[Quote]], since: str, until: str) -> Iterator[list[Quote]]:
    """Day after day, the quotes of the symbols that were traded on it."""
    merged = heapq.merge(*all_quotes, key=attrgetter("date"))
    day: list[Quote] = []
    for quote in merged:
        if not since <= quote.date <= until:
            continue
        if day and day[0].date != quote.date:
            yield day
            day = []
        day.append(quote)
    if day:
        yield day
