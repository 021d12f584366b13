"""Transactions that the worker has a feed of, scored for fraud as they come.

The name of the stream is that of the one in ``fraud``, so a pool serves either of them; here with
``modules: ["snakepit_bridge.examples.fraud_feed"]``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

from snakepit_bridge import Final, stream

from ._fraud import Scorer, later_visits


@stream
async def realtime_inference(
    model: str = "fraud_detection",
    input_stream: Literal["transactions"] = "transactions",
    threshold: float = 0.8,
    per_second: float | None = None,
) -> AsyncIterator[dict[str, Any] | Final]:
    """Scores the transactions of a feed, ``per_second`` of them or as fast as the caller likes.

    Their outcomes are known, and the model learns from each after it has judged it. Chunks and
    final chunk are those of the bidirectional stream.
    """
    scorer = await asyncio.to_thread(Scorer, model, threshold)
    for transaction in later_visits():
        if per_second:
            await asyncio.sleep(1 / per_second)
        score = scorer.add(transaction)
        if score is not None:
            yield score
    yield Final(scorer.summary())
