"""Traces that go on in handlers, with OpenTelemetry itself."""

import asyncio
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support import FakeSink, FakeSource, make_call

from snakepit_bridge import Final
from snakepit_bridge._aio import AsyncRunner
from snakepit_bridge._entry import Entry
from snakepit_bridge._registry import Handler
from snakepit_bridge._sessions import Sessions

exporter = InMemorySpanExporter()
trace_ids = [f"{n:032x}" for n in range(1, 100)]


@pytest.fixture(scope="module", autouse=True)
def tracing():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


@pytest.fixture
def spans():
    exporter.clear()

    def finished():
        found = exporter.get_finished_spans()
        return {span.name: f"{span.context.trace_id:032x}" for span in found}

    return finished


def call(number):
    return make_call(metadata={"traceparent": f"00-{trace_ids[number]}-00f067aa0ba902b7-01"})


def entry(function, kind="command"):
    return Entry(Handler(function.__name__, kind, function), Sessions())


def current():
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


NONE = "0" * 32


def test_a_call_without_a_trace_is_served_as_ever():
    plain = entry(dict)
    assert plain.for_call(make_call()) is plain


def test_a_command_continues_the_trace_and_leaves_nothing_behind(spans):
    def work() -> dict:
        with trace.get_tracer("test").start_as_current_span("work"):
            return {"trace": current()}

    handler = entry(work)
    assert handler.for_call(call(1)).invoke({}, call(1)) == {"trace": trace_ids[1]}
    assert current() == NONE
    assert handler.for_call(call(2)).invoke({}, call(2)) == {"trace": trace_ids[2]}
    assert spans() == {"work": trace_ids[2]}
    assert handler.invoke({}, make_call())["trace"] != trace_ids[2]


def test_what_raises_leaves_nothing_behind():
    def work() -> dict:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        entry(work).for_call(call(1)).invoke({}, call(1))
    assert current() == NONE


def test_every_step_of_a_generator_is_in_the_trace(spans):
    closed = []

    def train():
        try:
            with trace.get_tracer("test").start_as_current_span("train"):
                for n in range(3):
                    yield {"n": n, "trace": current()}
            return {"trace": current()}
        finally:
            closed.append(current())

    handler = entry(train, "stream")
    one, other = (handler.for_call(call(n)).invoke({}, call(n)) for n in (1, 2))
    for n in range(3):
        # They take turns on one thread.
        assert next(one) == {"n": n, "trace": trace_ids[1]}
        assert current() == NONE
        assert next(other) == {"n": n, "trace": trace_ids[2]}
    with pytest.raises(StopIteration) as stop:
        next(one)
    assert stop.value.value == {"trace": trace_ids[1]}
    other.close()
    assert closed == [trace_ids[1], trace_ids[2]]
    assert current() == NONE


def test_async_handlers_have_their_trace_whatever_they_share(spans):
    async def work(n: int) -> dict:
        await asyncio.sleep(0)
        with trace.get_tracer("test").start_as_current_span(f"work {n}"):
            await asyncio.sleep(0)
            return {"trace": current()}

    async def train(n: int):
        for step in range(3):
            await asyncio.sleep(0)
            yield {"step": step, "trace": current()}
        yield Final({"trace": current()})

    runner = AsyncRunner()
    try:
        sinks = []
        for n in range(1, 5):
            for handler in (entry(work), entry(train, "stream")):
                sink = FakeSink()
                runner.submit(handler.for_call(call(n)), {"n": n}, call(n), sink)
                sinks.append((n, sink))
        free = FakeSink()
        runner.submit(entry(work), {"n": 0}, make_call(), free)
        for n, sink in sinks:
            assert sink.result()["trace"] == trace_ids[n]
            assert {chunk["trace"] for chunk in sink.chunks} <= {trace_ids[n]}
        assert free.result()["trace"] not in trace_ids
    finally:
        runner.close()
    assert {name: id for name, id in spans().items() if name != "work 0"} == {
        f"work {n}": trace_ids[n] for n in range(1, 5)
    }


def test_input_is_read_in_the_trace_too():
    async def total(chunks) -> dict:
        seen = [current() async for _ in chunks]
        return {"traces": seen}

    def sync_total(chunks) -> dict:
        return {"traces": [current() for _ in chunks]}

    source, sink, runner = FakeSource(), FakeSink(), AsyncRunner()
    source.put({"n": 1})
    source.end()
    handler = entry(total, "client_stream").for_call(call(3))
    runner.submit(handler, {}, call(3), sink, source)
    assert sink.result() == {"traces": [trace_ids[3]]}
    runner.close()
    handler = entry(sync_total, "client_stream").for_call(call(4))
    assert handler.invoke({}, call(4), iter([{"n": 1}])) == {"traces": [trace_ids[4]]}


def test_without_opentelemetry_calls_are_served_all_the_same():
    script = """
import sys
sys.modules["opentelemetry"] = None
from types import SimpleNamespace
from snakepit_bridge._entry import Entry
from snakepit_bridge._registry import Handler
from snakepit_bridge._sessions import Sessions
entry = Entry(Handler("ping", "command", lambda: {"pong": 1}), Sessions())
call = SimpleNamespace(metadata={"traceparent": "00-" + 32 * "1" + "-" + 16 * "1" + "-01"})
assert entry.for_call(call).invoke({}, call) == {"pong": 1}
assert entry.for_call(call).invoke({}, call) == {"pong": 1}
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_opentelemetry_is_not_imported_before_a_trace_comes():
    script = """
import sys
from types import SimpleNamespace
from snakepit_bridge._entry import Entry
from snakepit_bridge._registry import Handler
from snakepit_bridge._sessions import Sessions
import snakepit_bridge._worker
entry = Entry(Handler("ping", "command", lambda: {"pong": 1}), Sessions())
call = SimpleNamespace(metadata={})
entry.for_call(call).invoke({}, call)
assert not [name for name in sys.modules if "opentelemetry" in name or "_tracing" in name]
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
