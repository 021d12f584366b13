"""What becomes of the values that plain handlers of streams yield and return."""

import pytest
from support import make_call, read_all

from snakepit_bridge import Context, Final, InvalidArguments


@pytest.fixture
def run(entry):
    """Runs a stream to its end: the chunks and the final chunk."""

    def run(function, /, **args):
        return read_all(entry(function, "stream").invoke(args, make_call()))

    return run


def test_yielded_dicts_are_the_chunks_and_the_returned_one_the_final_chunk(run):
    def handler(count: int):
        for index in range(count):
            yield {"index": index}
        return {"total": count}

    assert run(handler, count=2) == ([{"index": 0}, {"index": 1}], {"total": 2})


def test_without_a_return_there_is_no_final_value(run):
    def handler():
        yield {"a": 1}

    assert run(handler) == ([{"a": 1}], None)


def test_values_that_are_no_dicts_are_wrapped(run):
    def handler():
        yield 1
        yield None
        return [2]

    assert run(handler) == ([{"result": 1}, {"result": None}], {"result": [2]})


def test_a_final_ends_the_stream(run):
    ended = []

    def handler():
        try:
            yield {"a": 1}
            yield Final({"b": 2})
            yield {"never": True}
        finally:
            ended.append(True)

    assert run(handler) == ([{"a": 1}], {"b": 2})
    assert ended == [True]


def test_an_empty_final_is_no_value(run):
    def handler():
        yield Final()

    assert run(handler) == ([], None)


def test_final_takes_a_dict_only():
    with pytest.raises(TypeError, match="got list"):
        Final([1])
    assert repr(Final({"a": 1})) == "Final({'a': 1})"


def test_a_function_may_return_an_iterable_instead_of_yielding(run):
    assert run(lambda: [{"a": 1}, 2]) == ([{"a": 1}, {"result": 2}], None)
    assert run(lambda: ({"n": n} for n in range(2))) == ([{"n": 0}, {"n": 1}], None)


@pytest.mark.parametrize("value", [{"a": 1}, "text", b"bytes", 3, None])
def test_what_cannot_be_a_stream_of_chunks_is_refused(run, value):
    with pytest.raises(TypeError, match="a stream must yield chunks"):
        run(lambda: value)


def test_arguments_are_checked_before_the_first_chunk_is_asked_for(entry):
    def handler(count: int):
        yield {}

    with pytest.raises(InvalidArguments):
        entry(handler, "stream").invoke({"count": "x"}, make_call())


def test_the_handler_does_not_run_ahead_of_its_reader(entry):
    reached = []

    def handler():
        for index in range(3):
            reached.append(index)
            yield {"index": index}

    chunks = entry(handler, "stream").invoke({}, make_call())
    assert reached == []
    next(chunks)
    assert reached == [0]


def test_closing_the_stream_raises_generator_exit_at_the_yield(entry):
    seen = []

    def handler():
        try:
            yield {"a": 1}
        except GeneratorExit:
            seen.append("exit")
            raise
        finally:
            seen.append("finally")

    chunks = entry(handler, "stream").invoke({}, make_call())
    next(chunks)
    chunks.close()
    assert seen == ["exit", "finally"]


def test_an_exception_after_some_chunks_comes_through(entry):
    def handler():
        yield {"a": 1}
        raise ValueError("broken")

    chunks = entry(handler, "stream").invoke({}, make_call())
    assert next(chunks) == {"a": 1}
    with pytest.raises(ValueError, match="broken"):
        next(chunks)


def test_a_bidi_stream_takes_and_yields_chunks(entry):
    def handler(ctx: Context, chunks, scale: int):
        for chunk in chunks:
            yield {"n": chunk["n"] * scale}
        return {"by": ctx.worker_id}

    stream = entry(handler, "bidi_stream").invoke(
        {"scale": 10}, make_call(), iter([{"n": 1}, {"n": 2}])
    )
    assert [next(stream), next(stream)] == [{"n": 10}, {"n": 20}]
    with pytest.raises(StopIteration) as stop:
        next(stream)
    assert stop.value.value == {"by": "worker-1"}
