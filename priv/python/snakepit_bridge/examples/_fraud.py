"""A model that tells fraud from honest business, and goes on learning while it is used.

Its data are 1,250 web sites, of which 548 are phishing: a fraud whose records are public, unlike
those of banks (Website Phishing, of the UCI repository). They come in the package river, which the
model is from too.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from functools import lru_cache
from typing import Any

from snakepit_bridge import InvalidArguments

Features = dict[str, float]

#: The visits that the model has learned from before it is used; the others are left for its use.
LEARNED = 1_000
#: Outcomes are learned of the last so many transactions; those of earlier ones come too late.
REMEMBERED = 10_000

MODELS = ("fraud_detection",)


def later_visits() -> list[dict[str, Any]]:
    """The visits that the model has not seen: ``id``, ``features``, and ``is_fraud``, the truth."""
    return [
        {"id": id, "features": features, "is_fraud": is_fraud}
        for id, (features, is_fraud) in enumerate(_visits()[LEARNED:], start=LEARNED)
    ]


class Scorer:
    """Scores transactions, and learns from what became of them."""

    def __init__(self, model: str, threshold: float) -> None:
        if model not in MODELS:
            raise InvalidArguments("model", f"argument 'model': there is {', '.join(MODELS)}")
        if not 0 <= threshold <= 1:
            raise InvalidArguments("threshold", "argument 'threshold' is a number from 0 to 1")
        self._model, self._names = trained()
        # What one stream teaches it is not known to the others.
        self._model = copy.deepcopy(self._model)
        self._threshold = threshold
        self._open: OrderedDict[Any, tuple[Features, bool]] = OrderedDict()
        self.scored = self.flagged = self.learned = self._right = 0

    def add(self, transaction: dict[str, Any]) -> dict[str, Any] | None:
        """Takes a transaction (``id``, ``features``), an outcome (``id``, ``is_fraud``), or both.

        Gives the score of a transaction, None for an outcome. Raises InvalidArguments.
        """
        score = None
        if "features" in transaction:
            score = self._score(transaction)
        if transaction.get("is_fraud") is not None:
            self._learn(transaction)
        elif score is None:
            self._refuse(transaction, "has neither 'features' nor 'is_fraud'")
        return score

    def summary(self) -> dict[str, Any]:
        return {
            "scored": self.scored,
            "flagged": self.flagged,
            "learned": self.learned,
            # Of those whose outcome is known, judged before it was.
            "accuracy": self._right / self.learned if self.learned else None,
            # Who asks every chunk for it need not tell this one apart.
            "fraud_probability": 0.0,
        }

    def _score(self, transaction: dict[str, Any]) -> dict[str, Any]:
        features = self._checked(transaction)
        probability = float(self._model.predict_proba_one(features).get(True, 0.0))
        flagged = probability >= self._threshold
        self.scored += 1
        self.flagged += flagged
        id = transaction.get("id")
        if id is not None:
            self._open[id] = (features, probability >= 0.5)
            if len(self._open) > REMEMBERED:
                self._open.popitem(last=False)
        return {"id": id, "fraud_probability": probability, "flagged": flagged}

    def _learn(self, outcome: dict[str, Any]) -> None:
        is_fraud = outcome["is_fraud"]
        if not isinstance(is_fraud, bool):
            self._refuse(outcome, "has an 'is_fraud' that is neither true nor false")
        known = self._open.pop(outcome.get("id"), None)
        if known is not None:
            features, guess = known
            self.learned += 1
            self._right += guess == is_fraud
            self._model.learn_one(features, is_fraud)

    def _checked(self, transaction: dict[str, Any]) -> Features:
        features = transaction["features"]
        if not isinstance(features, dict):
            self._refuse(transaction, "has 'features' that are no map")
        for name in self._names:
            if type(features.get(name)) not in (int, float):
                self._refuse(transaction, f"has no number as its {name!r}")
        # In the order and with the names that the model knows.
        return {name: features[name] for name in self._names}

    def _refuse(self, transaction: dict[str, Any], why: str) -> None:
        raise InvalidArguments("chunks", f"transaction {transaction.get('id')!r} {why}")


@lru_cache(maxsize=1)
def trained() -> tuple[Any, tuple[str, ...]]:
    """The model and the names of the features. It is made once, in some milliseconds."""
    from river import linear_model, optim, preprocessing

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.1))
    visits = _visits()
    for features, is_fraud in visits[:LEARNED]:
        model.learn_one(features, is_fraud)
    return model, tuple(visits[0][0])


@lru_cache(maxsize=1)
def _visits() -> list[tuple[Features, bool]]:
    from river.datasets import Phishing

    return list(Phishing())
