"""Share prices as arrays: out to Elixir, and what was made of them there in again.

Serve it with ``modules: ["snakepit_bridge.examples.matrices"]``. It needs numpy, and the prices of
bokeh_sampledata: ``pip install numpy``, ``pip install --no-deps bokeh_sampledata``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snakepit_bridge import InvalidArguments, command

from ._prices import by_day, choose, read_prices


@command
def price_matrix(
    symbols: list[str], since: str = "2000-01-01", until: str = "2013-12-31"
) -> dict[str, Any]:
    """The closing prices of the days on which all of these shares were traded.

    ``prices`` has a row for each day and a column for each share, in the order of ``symbols``;
    ``first_day`` and ``last_day`` say which days they are.
    """
    prices = read_prices()
    chosen = [choose(prices, symbol) for symbol in symbols]
    found = [quotes for quotes in chosen if quotes is not None]
    if not symbols or len(found) < len(symbols):
        known = ", ".join(sorted(prices))
        raise InvalidArguments("symbols", f"argument 'symbols': there are prices of {known}")
    days = [day for day in by_day(found, since, until) if len(day) == len(symbols)]
    rows = [{quote.symbol: quote.price for quote in day} for day in days]
    if not rows:
        raise InvalidArguments("since", "there is no day on which all of them were traded")
    return {
        "prices": np.array([[row[symbol] for symbol in symbols] for row in rows]),
        "first_day": days[0][0].date,
        "last_day": days[-1][0].date,
    }


@command
def correlate(returns: np.ndarray) -> dict[str, Any]:
    """How closely the columns follow each other, from -1 to 1, and what each varies in a year."""
    if returns.ndim != 2 or len(returns) < 2:
        raise InvalidArguments("returns", "argument 'returns' must be a matrix of two rows or more")
    return {
        "correlation": np.corrcoef(returns, rowvar=False),
        "volatility": returns.std(axis=0, ddof=1) * np.sqrt(252),
    }
