"""The decorators, and what the registry accepts."""

import importlib
import sys

import pytest

from snakepit_bridge import (
    bidi_stream,
    client_stream,
    command,
    on_start,
    on_stop,
    stream,
)
from snakepit_bridge._registry import Handler, Registry


def test_a_decorator_returns_the_function_itself(registry):
    def handler(): ...

    assert command(handler) is handler
    assert command("other")(handler) is handler
    assert stream(main_thread=True)(handler) is handler


def test_a_handler_is_registered_under_its_name_or_the_given_one(registry):
    @command
    def plain(): ...

    @command()
    def called(): ...

    @command("renamed")
    def original(): ...

    assert registry.names() == ["plain", "called", "renamed"]
    assert registry.get("renamed").function is original
    assert registry.get("original") is None


@pytest.mark.parametrize("decorator", [command, stream, client_stream, bidi_stream])
def test_each_decorator_registers_its_kind(registry, decorator):
    decorator("name")(lambda chunks: None)
    assert registry.get("name").kind == decorator.__name__


def test_async_handlers_are_recognised(registry):
    @command
    async def coroutine(): ...

    @stream
    async def generator():
        yield {}

    @command
    def plain(): ...

    @stream
    def plain_generator():
        yield {}

    class Model:
        async def __call__(self): ...

    command("model")(Model())

    kinds = {name: registry.get(name).is_async for name in registry.names()}
    assert kinds == {
        "coroutine": True,
        "generator": True,
        "plain": False,
        "plain_generator": False,
        "model": True,
    }


def test_main_thread_is_kept(registry):
    @command(main_thread=True)
    def plot(): ...

    @command("other", main_thread=True)
    def other_plot(): ...

    @command
    def plain(): ...

    assert registry.get("plot").main_thread
    assert registry.get("other").main_thread
    assert not registry.get("plain").main_thread


def test_a_name_that_is_taken_by_another_function_is_refused(registry):
    @command("score")
    def one(): ...

    with pytest.raises(ValueError, match="already a command 'score'") as caught:

        @stream("score")
        def two(): ...

    assert "one" in str(caught.value)
    assert "two" in str(caught.value)
    assert __file__ in str(caught.value)
    assert registry.get("score").function is one


def test_a_module_may_be_imported_again(registry, tmp_path, monkeypatch):
    (tmp_path / "again.py").write_text(
        "from snakepit_bridge import command, on_start\n"
        "@command\ndef handler(): return {}\n"
        "@on_start\ndef hook(): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "again", raising=False)
    module = importlib.import_module("again")
    importlib.reload(module)
    assert registry.get("handler").function is module.handler
    assert registry.start_hooks == [module.hook]


def test_a_console_may_define_a_name_again(registry):
    for body in ("return 1", "return 2"):
        exec(compile(f"@command\ndef handler():\n {body}", "<stdin>", "exec"), {"command": command})
    assert registry.get("handler").function() == 2


def test_hooks_are_kept_in_their_order(registry):
    @on_start
    def first(): ...

    @on_start
    async def second(): ...

    @on_stop
    def last(): ...

    assert registry.start_hooks == [first, second]
    assert registry.stop_hooks == [last]


def test_a_generator_is_no_command(registry):
    with pytest.raises(TypeError, match="decorate it with @stream"):

        @command
        def numbers():
            yield {}

    with pytest.raises(TypeError, match="decorate it with @bidi_stream"):

        @client_stream
        async def more(chunks):
            yield {}


def test_a_coroutine_is_no_stream(registry):
    with pytest.raises(TypeError, match="must yield its chunks"):

        @stream
        async def numbers(): ...


def test_an_async_handler_does_not_run_in_the_main_thread(registry):
    with pytest.raises(TypeError, match="async"):

        @command(main_thread=True)
        async def handler(): ...


def test_a_client_stream_needs_a_parameter_for_the_chunks(registry):
    with pytest.raises(TypeError, match="no parameter for the chunks"):

        @client_stream
        def total(ctx): ...


@pytest.mark.parametrize("target", [3, ["name"]])
def test_a_decorator_takes_a_function_or_a_name(registry, target):
    with pytest.raises(TypeError, match="takes a function or a name"):
        command(target)


def test_a_function_without_a_name_must_be_given_one(registry):
    with pytest.raises(TypeError, match="give it one"):
        command(lambda: 1)
    command("one")(lambda: 1)
    assert registry.names() == ["one"]


def test_two_registries_know_nothing_of_each_other():
    one, other = Registry(), Registry()
    one.add(Handler("name", "command", len))
    assert one.names() == ["name"]
    assert other.names() == []
