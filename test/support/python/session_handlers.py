"""Handlers for the tests of sessions."""

import os

from test_handlers import Beacon

from snakepit_bridge import Context, command, on_session_end, stream


@command
def remember(ctx: Context, value, beacon: int = 0):
    """Keeps a value. With a beacon, the end of the session is told there."""
    ctx.session["value"] = value
    ctx.session["beacon"] = beacon
    return {"os_pid": os.getpid()}


@command
def recall(ctx: Context):
    return {"value": ctx.session.get("value"), "os_pid": os.getpid()}


@command
def hold_session(ctx: Context, beacon: int):
    ctx.session["word"] = Beacon(beacon).wait("held")
    return dict(ctx.session)


@stream
def count_in_session(ctx: Context, n: int):
    for _ in range(n):
        ctx.session["n"] = ctx.session.get("n", 0) + 1
        yield {"n": ctx.session["n"], "session_id": ctx.session_id}


@on_session_end
def tell(session_id, session):
    if session.get("beacon"):
        Beacon(session["beacon"]).tell(f"{session_id} ended with {session['value']}")
