"""Handlers that keep the live page busy: nothing is trained or charged, but it takes its time."""

import math
import random
import time

from snakepit_bridge import Context, command, stream


@stream
def train_model(ctx: Context, epochs: int = 10_000):
    """One chunk for every epoch, until it is cancelled."""
    for epoch in range(epochs):
        until = time.monotonic() + 0.02
        while time.monotonic() < until:
            math.sqrt(random.random())
        time.sleep(0.03)
        yield {"epoch": epoch, "loss": 1 / (epoch + 1), "weights": b"w" * 2_000}


@stream
def embed_documents(size: int = 48_000):
    """More than its consumer can take."""
    while True:
        yield {"vectors": b"v" * size}


@stream
def tail_log(interval: float = 0.4):
    while True:
        time.sleep(interval)
        yield {"line": "GET /health 200"}


@command
def predict(features: list):
    return {"class": len(features) % 10}


@command
def charge_card(card: str):
    raise ValueError("the card was declined")


@command
def nightly_report(ctx: Context, steps: int = 10_000):
    """Tells its progress until it is cancelled."""
    for step in range(steps):
        ctx.progress(min(0.1 + step / 250, 0.95), f"table {step + 1}")
        time.sleep(0.1)
    return {"rows": []}


@command
def remember(ctx: Context, key: str):
    ctx.session[key] = True
    return {}
