from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support import FakeSink, make_call
from workers import Beacon

from snakepit_bridge import _registry
from snakepit_bridge._dispatcher import Dispatcher
from snakepit_bridge._entry import Entry
from snakepit_bridge._registry import Handler, Registry

if TYPE_CHECKING:
    from snakepit_bridge._registry import Kind


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry of this test's own, which the decorators use."""
    own = Registry()
    monkeypatch.setattr(_registry, "default", own)
    return own


@pytest.fixture
def dispatcher(registry: Registry) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher("worker-1")
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def entry(dispatcher: Dispatcher) -> Callable[..., Entry]:
    """Makes an entry of a function, as decorating it would."""

    def make(function: Callable[..., Any], kind: Kind = "command") -> Entry:
        return Entry(Handler("test", kind, function), dispatcher.sessions)

    return make


@pytest.fixture
def invoke(entry: Callable[..., Entry]) -> Callable[..., Any]:
    """Calls a function as a command, with the arguments that a caller would send."""

    def run(function: Callable[..., Any], /, **args: Any) -> Any:
        return entry(function).invoke(args, make_call())

    return run


@pytest.fixture
def runner():
    from snakepit_bridge._aio import AsyncRunner

    runner = AsyncRunner()
    yield runner
    runner.close()


@pytest.fixture
def submit(runner, entry):
    """Starts a function as an async handler: the sink that it writes to, and its handle."""

    def submit(function, kind="command", sink=None, source=None, **args):
        sink = sink or FakeSink()
        handle = runner.submit(entry(function, kind), args, make_call(), sink, source)
        return sink, handle

    return submit


@pytest.fixture
def beacon(tmp_path):
    """Where handlers of a worker send messages to the test."""
    beacon = Beacon(tmp_path / "beacon")
    yield beacon
    beacon.close()
