"""The replay of share prices: order, signals, alerts and pace."""

import asyncio
import time

import pytest

from snakepit_bridge import Final, InvalidArguments
from snakepit_bridge.examples.stocks import realtime_stock_analysis


@pytest.fixture
def prices(tmp_path):
    """Writes a CSV file: for each symbol the first day of January 2013, prices, and volumes."""

    def write(**symbols):
        path = tmp_path / "prices.csv"
        lines = ["Ticker,Date,Close,Volume"]
        for symbol, (first, closes, volumes) in symbols.items():
            for day, (close, volume) in enumerate(zip(closes, volumes), start=first):
                lines.append(f"{symbol},2013-01-{day:02},{close},{volume}")
        path.write_text("\n".join(lines))
        return str(path)

    return write


def analyse(path, *symbols, **args):
    async def collect():
        stream = realtime_stock_analysis(list(symbols), prices_path=path, **args)
        return [chunk async for chunk in stream]

    *chunks, final = asyncio.run(collect())
    assert isinstance(final, Final)
    return chunks, final.chunk


def steady(count, value=100):
    return [value] * count


def test_days_come_in_their_order_and_symbols_in_that_of_the_caller(prices):
    path = prices(A=(1, [1, 2, 3], steady(3)), B=(2, [5, 6], steady(2)))
    chunks, final = analyse(path, "B", "A", "C", "B")
    days = [(chunk["timestamp"][-2:], chunk["symbol"], chunk["price"]) for chunk in chunks]
    assert days == [
        ("01", "A", 1.0),
        ("02", "B", 5.0),
        ("02", "A", 2.0),
        ("03", "B", 6.0),
        ("03", "A", 3.0),
    ]
    assert final == {
        "days": 3,
        "quotes": 5,
        "signals": {"HOLD": 5},
        "unknown_symbols": ["C"],
    }


def test_the_keys_of_a_chunk_and_the_days_that_are_asked_for(prices):
    path = prices(A=(1, [1, 2, 3], steady(3)))
    chunks, _ = analyse(path, "A", since="2013-01-02", until="2013-01-02")
    assert chunks == [
        {
            "symbol": "A",
            "timestamp": "2013-01-02",
            "price": 2.0,
            "volume": 100,
            "rsi": None,
            "macd": None,
            "macd_signal": None,
            "macd_histogram": None,
            "sma_20": None,
            "sma_50": None,
            "trading_signal": "HOLD",
            "signal": "HOLD",
            "alerts": [],
        }
    ]


def test_a_falling_share_is_to_buy_and_a_rising_one_to_sell(prices):
    path = prices(A=(1, range(60, 40, -1), steady(20)), B=(1, range(20, 40), steady(20)))
    chunks, final = analyse(path, "A", "B", indicators=("RSI",))
    told = {(chunk["symbol"], chunk["signal"], *chunk["alerts"]) for chunk in chunks[28:]}
    assert told == {("A", "BUY", "rsi_oversold"), ("B", "SELL", "rsi_overbought")}
    assert final["signals"] == {"HOLD": 28, "BUY": 6, "SELL": 6}


def test_thresholds_are_those_of_the_caller(prices):
    # Three of four parts are gains: the index is 75.
    closes = [10.0]
    for day in range(19):
        closes.append(closes[-1] + (3 if day % 2 else -1))
    path = prices(A=(1, closes, [*steady(19), 250]))

    def last(**thresholds):
        chunk = analyse(path, "A", alert_thresholds=thresholds)[0][-1]
        return chunk["signal"], chunk["alerts"]

    assert last() == ("SELL", ["rsi_overbought"])
    assert last(rsi_overbought=80) == ("HOLD", [])
    assert last(rsi_overbought=95, rsi_oversold=90) == ("BUY", ["rsi_oversold"])


def test_an_unusual_volume_is_an_alert_from_the_day_after_twenty(prices):
    volumes = [100] * 15 + [1_000] + [100] * 5 + [300, 280]
    path = prices(A=(1, steady(23), volumes))

    def spikes(factor):
        chunks, _ = analyse(path, "A", alert_thresholds={"volume_spike": factor})
        return [chunk["timestamp"][-2:] for chunk in chunks if "volume_spike" in chunk["alerts"]]

    # The mean of the days before is 145, and then 155.
    assert spikes(2.0) == ["22"]
    assert spikes(1.8) == ["22", "23"]
    assert spikes(2.1) == []


def test_without_the_rsi_the_signals_are_crossings_of_macd(prices, tmp_path):
    from math import sin

    lines = ["Ticker,Date,Close,Volume"]
    lines += [
        f"A,2013-{1 + day // 28:02}-{1 + day % 28:02},{50 + sin(day / 8)},1" for day in range(250)
    ]
    path = tmp_path / "waves.csv"
    path.write_text("\n".join(lines))
    chunks, _ = analyse(str(path), "A", indicators=("MACD",))
    signals = [chunk["signal"] for chunk in chunks if chunk["signal"] != "HOLD"]
    # Each wave has one of each, in turn.
    assert len(signals) in (8, 9)
    assert all(a != b for a, b in zip(signals, signals[1:]))
    for before, chunk in zip(chunks, chunks[1:]):
        if chunk["signal"] == "BUY":
            assert before["macd_histogram"] <= 0 < chunk["macd_histogram"]


def test_the_pace_is_that_of_the_caller(prices):
    path = prices(A=(1, steady(11), steady(11)), B=(1, steady(11), steady(11)))
    start = time.monotonic()
    chunks, _ = analyse(path, "A", "B", days_per_second=50)
    assert len(chunks) == 22
    assert time.monotonic() - start >= 10 / 50


@pytest.mark.parametrize(
    ("args", "argument", "message"),
    [
        ({"symbols": ["X"]}, "symbols", "there are prices of A"),
        ({"indicators": ("EMA",)}, "indicators", "no indicator 'EMA'"),
        ({"alert_thresholds": {"rsi": 1}}, "alert_thresholds", "'rsi' is none of rsi_oversold"),
        ({"days_per_second": 0}, "days_per_second", "must be positive"),
        ({"since": "01/02/2013"}, "since", "argument 'since'"),
    ],
)
def test_what_cannot_be_analysed_is_refused(prices, args, argument, message):
    path = prices(A=(1, [1], [1]))
    with pytest.raises(InvalidArguments, match=message) as error:
        analyse(path, *args.pop("symbols", ["A"]), **args)
    assert error.value.name == argument
