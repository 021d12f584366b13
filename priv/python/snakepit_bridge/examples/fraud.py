"""Transactions that the caller sends, scored for fraud as they come.

Serve it with ``modules: ["snakepit_bridge.examples.fraud"]``. It needs river:
``pip install "snakepit-bridge[examples]"``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from snakepit_bridge import Final, bidi_stream, command, on_start

from ._fraud import Scorer, later_visits, trained


@on_start
def train() -> None:
    """So that no transaction waits for it."""
    trained()


@bidi_stream
async def realtime_inference(
    chunks: AsyncIterator[dict[str, Any]],
    model: str = "fraud_detection",
    threshold: float = 0.8,
) -> AsyncIterator[dict[str, Any] | Final]:
    """Scores each transaction that the caller sends, at once, and learns what became of it.

    The caller sends ``{"id": ..., "features": {...}}`` for a transaction, and when its outcome is
    known ``{"id": ..., "is_fraud": true or false}``; both may be in one.

    Chunks, one for each transaction, have ``id``, ``fraud_probability`` (0.0 to 1.0) and
    ``flagged``: whether that is ``threshold`` or more. The final chunk says how many were
    ``scored`` and ``flagged``, of how many the outcome was ``learned``, and with which ``accuracy``
    those had been judged; its ``fraud_probability`` is 0.0.

    Raises InvalidArguments for a transaction without the numbers that the model knows.
    """
    scorer = Scorer(model, threshold)
    async for transaction in chunks:
        score = scorer.add(transaction)
        if score is not None:
            yield score
    yield Final(scorer.summary())


@command
def transactions() -> dict[str, Any]:
    """Transactions to try the model with, which it has not learned from: ``id``, ``features``, and
    ``is_fraud``, the truth."""
    return {"transactions": later_visits()}
