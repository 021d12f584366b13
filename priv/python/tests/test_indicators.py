"""The indicators of the share prices example, against figures that were found in other ways."""

import random
from importlib.util import find_spec
from statistics import fmean

import pytest

from snakepit_bridge.examples._indicators import Macd, Rsi, Sma, indicator
from snakepit_bridge.examples._prices import choose, read_prices


def walk(seed=1, count=400):
    source = random.Random(seed)
    price, prices = 100.0, []
    for _ in range(count):
        price *= 1 + source.gauss(0, 0.02)
        prices.append(price)
    return prices


def real():
    return [quote.price for quote in choose(read_prices(), "AAPL")]


series = pytest.mark.parametrize(
    "prices",
    [
        pytest.param(walk, id="random"),
        pytest.param(
            real,
            id="AAPL",
            marks=pytest.mark.skipif(
                find_spec("bokeh_sampledata") is None,
                reason="needs the prices: pip install --no-deps bokeh_sampledata",
            ),
        ),
    ],
)


def column(one, prices, name):
    return [one.add(price)[name] for price in prices]


def assert_column(found, expected, first):
    """The same from the given place on, and nothing before it."""
    assert found[:first] == [None] * first
    assert found[first:] == pytest.approx(expected[first:], rel=1e-9, abs=1e-9)


@series
@pytest.mark.parametrize("count", [20, 50])
def test_moving_averages_are_means(prices, count):
    prices = prices()
    expected = [fmean(prices[max(0, i + 1 - count) : i + 1]) for i in range(len(prices))]
    assert_column(column(Sma(count), prices, f"sma_{count}"), expected, count - 1)


def exponential(values, span):
    """The average as the sum of all values, each with its weight."""
    alpha = 2 / (span + 1)
    horizon = 40 * span  # what is further back counts less than 1e-30
    means = []
    for i in range(len(values)):
        back = min(i, horizon)
        mean = sum(alpha * (1 - alpha) ** k * values[i - k] for k in range(back))
        means.append(mean + (1 - alpha) ** back * values[i - back])
    return means


@series
def test_macd_is_the_difference_of_two_exponential_averages(prices):
    prices = prices()[:400]
    fast, slow = exponential(prices, 12), exponential(prices, 26)
    macd = [a - b for a, b in zip(fast, slow)]
    signal = exponential(macd, 9)
    histogram = [a - b for a, b in zip(macd, signal)]
    assert_column(column(Macd(), prices, "macd"), macd, 25)
    assert_column(column(Macd(), prices, "macd_signal"), signal, 33)
    assert_column(column(Macd(), prices, "macd_histogram"), histogram, 33)


def wilder(prices, count=14):
    """As in the book: the sum over the first changes, then 13 parts of it and one of the new."""
    changes = [b - a for a, b in zip(prices, prices[1:])]
    gain = sum(change for change in changes[:count] if change > 0) / count
    loss = -sum(change for change in changes[:count] if change < 0) / count
    found = [None] * count + [100 - 100 / (1 + gain / loss)]
    for change in changes[count:]:
        gain = (gain * (count - 1) + max(change, 0)) / count
        loss = (loss * (count - 1) + max(-change, 0)) / count
        found.append(100 - 100 / (1 + gain / loss))
    return found


@series
def test_rsi_is_that_of_wilder(prices):
    prices = prices()
    assert_column(column(Rsi(), prices, "rsi"), wilder(prices), 14)


def test_rsi_is_the_one_that_textbooks_print():
    prices = [
        *(44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826),
        *(45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439),
    ]
    printed = [70.53, 66.32, 66.55, 69.41, 66.36, 57.97]
    assert column(Rsi(), prices, "rsi")[14:] == pytest.approx(printed, abs=0.005)


@pytest.mark.parametrize(
    ("prices", "expected"),
    [(range(20), 100.0), (range(20, 0, -1), 0.0), ([5.0] * 20, 50.0)],
    ids=["rising", "falling", "still"],
)
def test_rsi_at_its_limits(prices, expected):
    assert column(Rsi(), prices, "rsi")[-1] == expected


def test_indicators_have_names():
    assert isinstance(indicator("RSI"), Rsi)
    assert isinstance(indicator("MACD"), Macd)
    assert indicator("SMA_3").add(1.0) == {"sma_3": None}
    for name in ("rsi", "SMA", "SMA_0", "SMA_1001", "EMA_20", ""):
        with pytest.raises(ValueError, match="there is no indicator"):
            indicator(name)
