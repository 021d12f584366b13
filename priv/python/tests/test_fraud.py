"""The example that scores transactions: what it says of them, and what it learns."""

import asyncio

import pytest

from snakepit_bridge import Final, InvalidArguments

pytest.importorskip("river")

from snakepit_bridge.examples import _fraud, fraud
from snakepit_bridge.examples._fraud import Scorer, later_visits


def score(*transactions, **args):
    async def sent():
        for transaction in transactions:
            yield transaction

    async def collect():
        return [chunk async for chunk in fraud.realtime_inference(sent(), **args)]

    *chunks, final = asyncio.run(collect())
    assert isinstance(final, Final)
    return chunks, final.chunk


def without_outcome(transaction):
    return {key: transaction[key] for key in ("id", "features")}


def test_what_it_has_not_seen_is_told_apart():
    visits = later_visits()
    chunks, final = score(*map(without_outcome, visits))
    assert [chunk["id"] for chunk in chunks] == list(range(1_000, 1_250))
    assert all(0 <= chunk["fraud_probability"] <= 1 for chunk in chunks)
    truth = {visit["id"]: visit["is_fraud"] for visit in visits}
    right = sum((chunk["fraud_probability"] >= 0.5) == truth[chunk["id"]] for chunk in chunks)
    assert right / 250 > 0.88
    alarms = [truth[chunk["id"]] for chunk in chunks if chunk["flagged"]]
    assert len(alarms) > 60
    assert sum(alarms) / len(alarms) > 0.93
    assert final == {
        "scored": 250,
        "flagged": len(alarms),
        "learned": 0,
        "accuracy": None,
        "fraud_probability": 0.0,
    }


def test_the_threshold_is_that_of_the_caller():
    visits = later_visits()
    assert score(*visits, threshold=0.0)[1]["flagged"] == 250
    assert score(*visits, threshold=1.0)[1]["flagged"] < 30


def test_it_learns_from_outcomes_also_from_late_ones():
    visit = without_outcome(later_visits()[0])
    outcome = {"id": visit["id"], "is_fraud": True}
    opposite = {"id": visit["id"], "is_fraud": False}
    (first, taught), final = score(visit, outcome, visit)
    assert taught["fraud_probability"] > first["fraud_probability"]
    assert final["learned"] == 1
    (first, taught), _ = score(visit, opposite, visit)
    assert taught["fraud_probability"] < first["fraud_probability"]
    # An outcome counts once, and that of a transaction that is not known does not.
    assert score(visit, outcome, outcome, {"id": 7, "is_fraud": True})[1]["learned"] == 1


def test_what_one_stream_teaches_is_not_known_to_another():
    visit = without_outcome(later_visits()[0])
    ((before,), _) = score(visit)
    score(visit, *[{**visit, "is_fraud": not before["flagged"]}] * 50)
    assert score(visit)[0] == [before]


def test_the_accuracy_is_that_of_judgements_made_before(monkeypatch):
    monkeypatch.setattr(_fraud, "REMEMBERED", 10)
    visits = later_visits()
    chunks, final = score(*visits)
    right = sum(
        (chunk["fraud_probability"] >= 0.5) == visit["is_fraud"]
        for chunk, visit in zip(chunks, visits)
    )
    assert final["learned"] == 250
    assert final["accuracy"] == right / 250 > 0.88


def test_only_so_many_transactions_are_remembered(monkeypatch):
    monkeypatch.setattr(_fraud, "REMEMBERED", 10)
    visits = later_visits()[:20]
    outcomes = [{"id": visit["id"], "is_fraud": True} for visit in visits]
    assert score(*map(without_outcome, visits), *outcomes)[1]["learned"] == 10


@pytest.mark.parametrize(
    ("transaction", "message"),
    [
        ({"id": 1}, "transaction 1 has neither 'features' nor 'is_fraud'"),
        ({"id": 1, "features": [1]}, "'features' that are no map"),
        ({"id": "x", "features": {"https": 1}}, "transaction 'x' has no number as its"),
        ({"id": 1, "is_fraud": "yes"}, "neither true nor false"),
    ],
)
def test_what_is_no_transaction_is_refused(transaction, message):
    with pytest.raises(InvalidArguments, match=message):
        score(transaction)


def test_models_and_thresholds_that_are_none_are_refused():
    with pytest.raises(InvalidArguments, match="there is fraud_detection"):
        Scorer("other", 0.5)
    with pytest.raises(InvalidArguments, match="from 0 to 1"):
        Scorer("fraud_detection", 1.5)
