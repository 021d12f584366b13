"""What the caller is told of an exception."""

import asyncio
import pickle

import pytest
from support import make_call

from snakepit_bridge import (
    Cancelled,
    EncodingError,
    InvalidArguments,
    SessionNotFound,
    SnakepitError,
    UnknownCommand,
    command,
    stream,
)


@pytest.fixture
def described(dispatcher):
    """Calls a handler that raises, and describes what it raised."""

    def described(function, /, **args):
        try:
            dispatcher.find(function.__name__).invoke(args, make_call())
        except BaseException as exc:
            # A transport in Rust has no frame such as this function's.
            return dispatcher.describe_error(exc.with_traceback(exc.__traceback__.tb_next))
        raise AssertionError("it raised nothing")

    return described


class Rejected(Exception):
    retryable = True


def test_an_exception_of_a_handler_is_told_with_type_message_and_traceback(described):
    def inner():
        raise ValueError("no such model")

    @command
    def predict():
        inner()

    kind, python_type, message, traceback, retryable = described(predict)
    assert (kind, python_type, message, retryable) == (
        "python",
        "ValueError",
        "no such model",
        False,
    )
    lines = traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert __file__ in lines[1]
    assert "in predict" in lines[1]
    assert "in inner" in traceback
    assert "snakepit_bridge" not in traceback
    assert lines[-1] == "ValueError: no such model"


def test_the_traceback_of_a_stream_begins_at_its_handler(dispatcher):
    @stream
    def numbers():
        yield {}
        raise ValueError("broken")

    chunks = dispatcher.find("numbers").invoke({}, make_call())
    next(chunks)
    with pytest.raises(ValueError) as caught:
        next(chunks)
    exc = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    traceback = dispatcher.describe_error(exc)[3]
    assert "in numbers" in traceback.splitlines()[1]
    assert "snakepit_bridge" not in traceback


def test_the_traceback_of_a_built_in_command_is_its_own(described):
    def compute(): ...

    kind, python_type, _, traceback, _ = described(compute, operation="divide", a=1, b=0)
    assert (kind, python_type) == ("python", "ZeroDivisionError")
    assert "in compute" in traceback.splitlines()[1]


def test_the_cause_of_an_exception_is_told(described):
    @command
    def load():
        try:
            open("/nonexistent/file")  # noqa: SIM115
        except OSError as error:
            raise RuntimeError("cannot load") from error

    traceback = described(load)[3]
    assert "FileNotFoundError" in traceback
    assert "direct cause" in traceback


def test_arguments_that_do_not_fit_have_no_frames(described):
    @command
    def limited(limit: int): ...

    kind, python_type, message, traceback, _ = described(limited, limit="x")
    assert kind == "invalid_arguments"
    assert python_type == "snakepit_bridge.InvalidArguments"
    assert message == "argument 'limit' must be int, got str 'x'"
    assert traceback == f"snakepit_bridge.InvalidArguments: {message}\n"


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (UnknownCommand("x", "unknown command 'x'"), "unknown_command"),
        (InvalidArguments("x", "argument 'x' is missing"), "invalid_arguments"),
        (EncodingError("result.a: a socket cannot be sent"), "encoding"),
        (SessionNotFound("no session"), "session_not_found"),
        (SnakepitError("something else"), "python"),
        (Cancelled(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "python"),
        (SystemExit(3), "python"),
    ],
)
def test_each_kind_of_exception_has_its_kind_of_error(dispatcher, exc, kind):
    assert dispatcher.describe_error(exc)[0] == kind


def test_an_exception_may_say_that_another_try_can_help(dispatcher):
    assert dispatcher.describe_error(Rejected("busy"))[4] is True
    assert dispatcher.describe_error(ValueError("bad"))[4] is False


def test_the_type_is_told_with_its_module(dispatcher):
    assert dispatcher.describe_error(Rejected())[1] == f"{__name__}.Rejected"


def test_an_exception_without_a_message_is_told_by_its_type(dispatcher):
    assert dispatcher.describe_error(ValueError())[2] == "ValueError"


def test_an_exception_that_cannot_be_printed_is_told_all_the_same(dispatcher):
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    _, python_type, message, traceback, _ = dispatcher.describe_error(Silent())
    assert "Silent" in python_type
    assert "Silent" in message
    assert "Silent" in traceback


def test_a_very_long_traceback_loses_its_middle(dispatcher):
    traceback = dispatcher.describe_error(ValueError("x" * 100_000))[3]
    assert len(traceback) < 40_000
    assert "characters left out" in traceback


def test_endless_recursion_is_told_in_a_small_message(described):
    @command
    def forever(n: int = 0):
        return forever(n + 1)

    kind, python_type, _, traceback, _ = described(forever)
    assert (kind, python_type) == ("python", "RecursionError")
    assert len(traceback) < 40_000


@pytest.mark.parametrize("exc", [UnknownCommand("a", "b"), InvalidArguments("a", "b")])
def test_exceptions_survive_being_pickled(exc):
    copy = pickle.loads(pickle.dumps(exc))
    assert type(copy) is type(exc)
    assert (copy.name, str(copy)) == ("a", "b")
