"""How async handlers run. The transport's side is played by FakeSink and FakeSource."""

import asyncio
import threading
from queue import Queue

import pytest
from support import make_call

from snakepit_bridge import Cancelled, EncodingError, Final, InvalidArguments
from snakepit_bridge._aio import TURN, AsyncRunner

LIMIT = 10.0  # seconds until a test that waits in vain fails


class FakeSink:
    """Keeps what it is given. With ``room`` it takes that many chunks, until ``give`` is called."""

    def __init__(self, room=10**9):
        self.chunks = []
        self.refused = threading.Semaphore(0)
        self.ends = Queue()
        self.gone = False
        self.finish_raises = None
        self._room = room
        self._waiting = None
        self._lock = threading.Lock()

    def send(self, chunk):
        with self._lock:
            if self.gone:
                raise Cancelled
            if self._room == 0:
                self.refused.release()
                return False
            self._room -= 1
            self.chunks.append(chunk)
            return True

    def on_room(self, callback):
        with self._lock:
            if self._room == 0 and not self.gone:
                self._waiting, callback = callback, None
        if callback:
            callback()

    def finish(self, value):
        if self.finish_raises:
            raise self.finish_raises
        self.ends.put(("finish", value))

    def fail(self, exc):
        self.ends.put(("fail", exc))

    def give(self, room):
        with self._lock:
            self._room += room
            callback, self._waiting = self._waiting, None
        if callback:
            callback()

    def leave(self):
        self.gone = True
        self.give(0)

    def await_refusal(self):
        assert self.refused.acquire(timeout=LIMIT)

    def end(self):
        return self.ends.get(timeout=LIMIT)

    def result(self):
        how, value = self.end()
        assert how == "finish", value
        return value

    def error(self):
        how, exc = self.end()
        assert how == "fail", exc
        return exc


class FakeSource:
    """Gives the chunks that ``put`` brings, and ends with ``end``."""

    def __init__(self):
        self._chunks = Queue()
        self._waiting = None
        self._lock = threading.Lock()

    def take(self):
        with self._lock:
            if self._chunks.empty():
                return None
            chunk = self._chunks.get_nowait()
        if chunk is StopAsyncIteration:
            raise StopAsyncIteration
        return chunk

    def on_ready(self, callback):
        with self._lock:
            if self._chunks.empty():
                self._waiting, callback = callback, None
        if callback:
            callback()

    def put(self, chunk):
        with self._lock:
            self._chunks.put(chunk)
            callback, self._waiting = self._waiting, None
        if callback:
            callback()

    def end(self):
        self.put(StopAsyncIteration)


@pytest.fixture
def runner():
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


async def forever():
    await asyncio.Event().wait()


def test_a_command_ends_with_its_result(submit):
    async def add(a: int, b: int):
        await asyncio.sleep(0)
        return a + b

    sink, _ = submit(add, a=1, b=2)
    assert sink.result() == {"result": 3}


def test_a_plain_wrapper_of_an_async_function_is_async(submit):
    import functools

    async def inner():
        return 1

    @functools.wraps(inner)
    def wrapper():
        return inner()

    sink, _ = submit(wrapper)
    assert sink.result() == {"result": 1}


def test_arguments_that_do_not_fit_end_the_call(submit):
    async def handler(a: int): ...

    sink, _ = submit(handler, a="x")
    assert isinstance(sink.error(), InvalidArguments)


def test_an_exception_ends_the_call(submit):
    async def handler():
        await asyncio.sleep(0)
        raise ValueError("broken")

    sink, _ = submit(handler)
    error = sink.error()
    assert isinstance(error, ValueError)


def test_the_traceback_begins_at_the_async_handler(submit, dispatcher):
    async def handler():
        raise ValueError("broken")

    sink, _ = submit(handler)
    traceback = dispatcher.describe_error(sink.error())[3]
    assert "in handler" in traceback.splitlines()[1]
    assert "snakepit_bridge" not in traceback


@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt])
def test_an_exit_in_a_handler_does_not_end_the_loop(submit, exception):
    async def leaves():
        raise exception

    async def stays():
        return 1

    assert isinstance(submit(leaves)[0].error(), exception)
    assert submit(stays)[0].result() == {"result": 1}


def test_a_result_that_cannot_be_sent_is_an_error(submit):
    async def handler():
        return object()

    sink = FakeSink()
    sink.finish_raises = EncodingError("result: an object cannot be sent")
    submit(handler, sink=sink)
    assert sink.error() is sink.finish_raises


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


def test_a_cancelled_handler_gets_cancelled_error(submit, runner):
    reached = threading.Event()
    seen = []

    async def handler():
        try:
            reached.set()
            await forever()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append("finally")

    sink, handle = submit(handler)
    assert reached.wait(LIMIT)
    runner.cancel(handle)
    assert isinstance(sink.error(), asyncio.CancelledError)
    assert seen == ["cancelled", "finally"]


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


def test_a_call_that_is_cancelled_before_it_begins_does_not_run(submit, runner):
    reached = threading.Event()
    release = threading.Event()
    ran = []

    async def blocks():
        reached.set()
        release.wait(LIMIT)

    async def handler():
        ran.append(True)

    first, _ = submit(blocks)
    assert reached.wait(LIMIT)
    second, handle = submit(handler)
    runner.cancel(handle)
    release.set()
    assert first.result() == {"result": None}
    assert isinstance(second.error(), asyncio.CancelledError)
    assert ran == []


def test_a_second_cancellation_does_not_disturb_the_clean_up(submit, runner):
    reached = threading.Event()
    cleaning = threading.Event()
    go_on = []
    seen = []

    async def handler():
        gate = asyncio.Event()
        go_on.append(gate)
        try:
            reached.set()
            await forever()
        finally:
            cleaning.set()
            await gate.wait()
            seen.append("clean")

    async def opens():
        go_on[0].set()

    sink, handle = submit(handler)
    assert reached.wait(LIMIT)
    runner.cancel(handle)
    assert cleaning.wait(LIMIT)
    runner.cancel(handle)
    submit(opens)
    assert isinstance(sink.error(), asyncio.CancelledError)
    assert seen == ["clean"]


def test_to_cancel_a_call_that_is_over_does_nothing(submit, runner):
    async def handler():
        return 1

    sink, handle = submit(handler)
    assert sink.result() == {"result": 1}
    runner.cancel(handle)
    assert submit(handler)[0].result() == {"result": 1}
    assert sink.ends.empty()


def test_many_calls_run_at_once_on_one_loop(submit):
    gate = []
    loops = set()
    all_there = threading.Semaphore(0)

    async def waits():
        if not gate:
            gate.append(asyncio.Event())
        loops.add(asyncio.get_running_loop())
        all_there.release()
        await gate[0].wait()
        return threading.current_thread().name

    async def opens():
        gate[0].set()

    sinks = [submit(waits)[0] for _ in range(100)]
    for _ in sinks:
        assert all_there.acquire(timeout=LIMIT)
    submit(opens)
    assert {sink.result()["result"] for sink in sinks} == {"snakepit-asyncio"}
    assert len(loops) == 1


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


def test_closing_cancels_what_runs_and_ends_the_thread(submit, runner):
    reached = threading.Event()
    seen = []

    async def handler():
        try:
            reached.set()
            await forever()
        finally:
            seen.append("finally")

    sink, handle = submit(handler)
    assert reached.wait(LIMIT)
    runner.close()
    assert isinstance(sink.error(), asyncio.CancelledError)
    assert seen == ["finally"]
    assert "snakepit-asyncio" not in {thread.name for thread in threading.enumerate()}
    runner.cancel(handle)
    runner.close()
    with pytest.raises(RuntimeError):
        submit(handler)


def test_closing_cancels_what_handlers_left_running(submit, runner):
    seen = []
    tasks = []

    async def background():
        try:
            await forever()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def handler():
        tasks.append(asyncio.ensure_future(background()))
        await asyncio.sleep(0)

    assert submit(handler)[0].result() == {"result": None}
    runner.close()
    assert seen == ["cancelled"]


def test_a_runner_that_was_never_used_has_no_thread():
    runner = AsyncRunner()
    assert "snakepit-asyncio" not in {thread.name for thread in threading.enumerate()}
    runner.close()


def test_run_waits_for_the_result_or_the_exception(runner):
    async def gives():
        return 1

    async def raises():
        raise ValueError("broken")

    assert runner.run(gives()) == 1
    with pytest.raises(ValueError, match="broken"):
        runner.run(raises())
