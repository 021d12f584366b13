"""How async commands run, and the loop that they run on."""

import asyncio
import threading

import pytest
from support import LIMIT, FakeSink

from snakepit_bridge import EncodingError, InvalidArguments
from snakepit_bridge._aio import AsyncRunner


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
