import pytest
from support import make_call

from snakepit_bridge import (
    Context,
    UnknownCommand,
    command,
    on_session_end,
    on_start,
    on_stop,
)
from snakepit_bridge._dispatcher import END_SESSIONS, Dispatcher
from snakepit_bridge._registry import Registry


def test_it_finds_what_the_decorators_registered(dispatcher):
    @command
    def add(a: int, b: int):
        return a + b

    entry = dispatcher.find("add")
    assert (entry.name, entry.kind, entry.is_async, entry.main_thread) == (
        "add",
        "command",
        False,
        False,
    )
    assert entry.invoke({"a": 1, "b": 2}, make_call()) == {"result": 3}
    assert dispatcher.find("add") is entry
    assert repr(entry) == "<command 'add'>"


def test_a_handler_registered_after_the_start_is_found(dispatcher):
    dispatcher.start()
    with pytest.raises(UnknownCommand):
        dispatcher.find("late")
    command("late")(lambda: 1)
    assert dispatcher.find("late").invoke({}, make_call()) == {"result": 1}


def test_an_unknown_command_brings_the_one_that_was_meant(dispatcher):
    with pytest.raises(UnknownCommand) as caught:
        dispatcher.find("pingg")
    assert caught.value.name == "pingg"
    assert str(caught.value) == "unknown command 'pingg', did you mean 'ping'?"


def test_an_unknown_command_like_no_other_brings_a_list(dispatcher):
    for index in range(20):
        command(f"handler_{index}")(lambda: 1)
    with pytest.raises(UnknownCommand, match=r"commands: .* and 14 more"):
        dispatcher.find("zzz")


def test_the_commands_are_listed_by_name(dispatcher):
    command("zebra")(lambda: 1)
    assert dispatcher.commands() == ["compute", "echo", "ping", "ping_stream", "zebra"]


def test_a_handler_takes_the_place_of_a_built_in_one(dispatcher):
    command("ping")(lambda: "mine")
    assert dispatcher.find("ping").invoke({}, make_call()) == {"result": "mine"}
    assert dispatcher.commands().count("ping") == 1


def test_an_own_registry_hides_the_decorators_one(registry):
    command("mine")(lambda: 1)
    assert "mine" not in Dispatcher("w", Registry()).commands()
    assert "mine" in Dispatcher("w").commands()


def test_sessions_belong_to_the_dispatcher(dispatcher):
    @command
    def count(ctx: Context):
        ctx.session["n"] = ctx.session.get("n", 0) + 1
        return ctx.session

    call = make_call(session_id="a")
    entry = dispatcher.find("count")
    assert entry.invoke({}, call) == {"n": 1}
    assert entry.invoke({}, call) == {"n": 2}
    assert dispatcher.end_session("a") is True
    assert entry.invoke({}, call) == {"n": 1}


def test_hooks_run_once_each_in_their_order(dispatcher):
    ran = []
    on_start(lambda: ran.append("start 1"))
    on_stop(lambda: ran.append("stop 1"))
    on_start(lambda: ran.append("start 2"))
    on_stop(lambda: ran.append("stop 2"))
    dispatcher.start()
    dispatcher.start()
    assert ran == ["start 1", "start 2"]
    dispatcher.stop()
    dispatcher.stop()
    assert ran == ["start 1", "start 2", "stop 2", "stop 1"]


def test_async_hooks_run_on_the_loop_of_the_async_handlers(dispatcher):
    import asyncio

    loops = []

    @on_start
    async def begin():
        loops.append(asyncio.get_running_loop())

    @on_stop
    async def end():
        loops.append(asyncio.get_running_loop())

    dispatcher.start()

    async def here():
        return asyncio.get_running_loop()

    loops.append(dispatcher.async_runner().run(here()))
    dispatcher.stop()
    assert len(loops) == 3
    assert len(set(loops)) == 1


def test_a_start_hook_that_raises_stops_the_start(dispatcher):
    ran = []

    @on_start
    def fails():
        raise OSError("no GPU")

    on_start(lambda: ran.append("later"))
    with pytest.raises(OSError, match="no GPU"):
        dispatcher.start()
    assert ran == []


def test_a_stop_hook_that_raises_does_not_keep_the_others_from_running(dispatcher, capsys):
    ran = []
    on_stop(lambda: ran.append("first registered"))

    @on_stop
    def fails():
        raise OSError("disk full")

    dispatcher.start()
    dispatcher.stop()
    assert ran == ["first registered"]
    printed = capsys.readouterr().err
    assert "on_stop hook" in printed
    assert "fails" in printed
    assert "OSError: disk full" in printed


def test_stop_hooks_do_not_run_without_a_start(dispatcher):
    ran = []
    on_stop(lambda: ran.append("stop"))
    dispatcher.stop()
    assert ran == []


def test_the_end_of_a_session_runs_its_hooks_with_what_was_in_it(dispatcher, capsys):
    ended = []
    on_session_end(lambda session_id, session: ended.append((session_id, session)))

    @on_session_end
    async def fails(session_id, session):
        raise OSError(f"cannot close {session_id}")

    dispatcher.sessions.get("a")["n"] = 1
    dispatcher.sessions.get("b")["n"] = 2
    entry = dispatcher.find(END_SESSIONS)
    assert entry.invoke({"sessions": ["a", "unknown"]}, make_call()) == {"ended": 1}
    assert ended == [("a", {"n": 1})]
    assert "OSError: cannot close a" in capsys.readouterr().err
    assert END_SESSIONS not in dispatcher.commands()

    dispatcher.start()
    on_stop(lambda: ended.append("stop"))
    dispatcher.stop()
    assert ended[1:] == [("b", {"n": 2}), "stop"]
