"""How async generators run: their order, their reader's pace, and their end."""

import asyncio

from support import FakeSink, FakeSource

from snakepit_bridge import Cancelled, Final
from snakepit_bridge._aio import TURN


def test_a_stream_sends_its_chunks_in_order_and_then_the_final_one(submit):
    async def handler(count: int):
        for index in range(count):
            await asyncio.sleep(0)
            yield {"index": index}
        yield Final({"total": count})

    sink, _ = submit(handler, "stream", count=3)
    assert sink.result() == {"total": 3}
    assert sink.chunks == [{"index": 0}, {"index": 1}, {"index": 2}]


def test_a_stream_without_a_final_ends_without_a_value(submit):
    async def handler():
        yield 1

    sink, _ = submit(handler, "stream")
    assert sink.result() is None
    assert sink.chunks == [{"result": 1}]


def test_the_generator_is_closed_after_a_final(submit):
    closed = []

    async def handler():
        try:
            yield Final({"a": 1})
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    sink, _ = submit(handler, "stream")
    assert sink.result() == {"a": 1}
    assert closed == [True]


def test_what_is_no_async_generator_is_no_stream(submit):
    import functools

    async def inner():
        yield {}

    @functools.wraps(inner)
    def wrapper():
        return [1]

    assert isinstance(submit(wrapper, "stream")[0].error(), TypeError)


def test_an_exception_after_some_chunks_ends_the_stream(submit):
    async def handler():
        yield {"a": 1}
        raise ValueError("broken")

    sink, _ = submit(handler, "stream")
    assert isinstance(sink.error(), ValueError)
    assert sink.chunks == [{"a": 1}]


def test_a_stream_waits_for_room_and_offers_the_refused_chunk_again(submit):
    asked_for = []

    async def handler():
        for index in range(5):
            asked_for.append(index)
            yield {"index": index}

    sink = FakeSink(room=2)
    submit(handler, "stream", sink=sink)
    sink.await_refusal()
    assert asked_for == [0, 1, 2]
    sink.give(1)
    sink.await_refusal()
    assert asked_for == [0, 1, 2, 3]
    sink.give(10)
    assert sink.result() is None
    assert sink.chunks == [{"index": index} for index in range(5)]


def test_a_stream_may_be_told_of_room_that_is_taken_again(submit):
    async def handler():
        yield {"a": 1}

    sink = FakeSink(room=0)
    submit(handler, "stream", sink=sink)
    for _ in range(3):
        sink.await_refusal()
        sink.give(0)
    sink.give(1)
    assert sink.result() is None
    assert sink.chunks == [{"a": 1}]


def test_a_cancelled_stream_that_waits_for_room_is_closed_at_its_yield(submit, runner):
    seen = []

    async def handler():
        try:
            yield {"a": 1}
        except GeneratorExit:
            seen.append("exit")
            raise

    sink, handle = submit(handler, "stream", sink=FakeSink(room=0))
    sink.await_refusal()
    runner.cancel(handle)
    assert isinstance(sink.error(), asyncio.CancelledError)
    assert seen == ["exit"]
    sink.give(1)
    assert sink.chunks == []


def test_a_stream_whose_reader_has_gone_is_closed(submit):
    seen = []

    async def handler():
        try:
            while True:
                yield {"a": 1}
        finally:
            seen.append("closed")

    sink, _ = submit(handler, "stream", sink=FakeSink(room=3))
    sink.await_refusal()
    sink.leave()
    assert isinstance(sink.error(), Cancelled)
    assert seen == ["closed"]
    assert len(sink.chunks) == 3


def test_a_stream_that_never_waits_lets_others_have_their_turn(submit, runner):
    async def busy():
        while True:
            yield {}

    async def quick():
        return 1

    stream, handle = submit(busy, "stream")
    assert submit(quick)[0].result() == {"result": 1}
    runner.cancel(handle)
    assert isinstance(stream.error(), asyncio.CancelledError)
    assert len(stream.chunks) % TURN == 0


def test_a_client_stream_reads_the_chunks_of_its_caller(submit):
    async def handler(scale: int, chunks):
        total = 0
        async for chunk in chunks:
            total += chunk["n"]
        return total * scale

    source = FakeSource()
    source.put({"n": 1})
    sink, _ = submit(handler, "client_stream", source=source, scale=10)
    source.put({"n": 2})
    source.end()
    assert sink.result() == {"result": 30}


def test_a_bidi_stream_answers_chunk_by_chunk(submit):
    async def handler(chunks):
        count = 0
        async for chunk in chunks:
            count += 1
            yield {"echo": chunk["n"]}
        yield Final({"count": count})

    source = FakeSource()
    sink = FakeSink(room=0)
    submit(handler, "bidi_stream", sink=sink, source=source)
    for index in range(3):
        source.put({"n": index})
        sink.await_refusal()
        sink.give(1)
    source.end()
    assert sink.result() == {"count": 3}
    assert sink.chunks == [{"echo": 0}, {"echo": 1}, {"echo": 2}]
