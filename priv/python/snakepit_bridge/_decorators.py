"""The decorators that make functions callable from Elixir.

Each returns the function as it is, so handlers can be called and tested like any other function.
"""

from __future__ import annotations

from . import _registry
from ._functions import name_of
from ._registry import Handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar, overload

    from ._registry import Kind

    Function = TypeVar("Function", bound=Callable[..., Any])
    Hook = TypeVar("Hook", bound=Callable[[], Any])
    SessionHook = TypeVar("SessionHook", bound=Callable[[str, dict[str, Any]], Any])

    class Decorator(Protocol):
        """Works bare, ``@command``, and with arguments, ``@command("name")``."""

        @overload
        def __call__(self, target: Function, /) -> Function: ...
        @overload
        def __call__(
            self, name: str | None = None, /, *, main_thread: bool = False
        ) -> Callable[[Function], Function]: ...


def _typed(decorator: Callable[..., Any]) -> Decorator:
    return decorator


@_typed
def command(target: Any = None, *, main_thread: bool = False) -> Any:
    """Makes a function callable with ``Snakepit.execute``, under its own or the given name.

    Arguments bind by name and are checked against the annotations. A dict that the function returns
    is the result; any other value ``v`` gives ``{"result": v}``. It may be an ``async def``.
    With ``main_thread=True`` it runs in the main thread of its worker, one call at a time.
    """
    return _decorate("command", target, main_thread)


@_typed
def stream(target: Any = None, *, main_thread: bool = False) -> Any:
    """Makes a generator function callable with ``Snakepit.execute_stream``.

    Each dict it yields is a chunk, and the dict it returns the final chunk (an async generator
    yields ``Final({...})`` instead). Any other value ``v`` gives the chunk ``{"result": v}``.
    It is asked for the next chunk only when the caller has room for it, and gets GeneratorExit at
    its ``yield`` when the caller wants no more.
    """
    return _decorate("stream", target, main_thread)


@_typed
def client_stream(target: Any = None, *, main_thread: bool = False) -> Any:
    """Makes a function callable with ``Snakepit.execute_client_stream``.

    Its parameter ``chunks``, or else its first one after the context, is an iterator of the dicts
    that the caller sends (an async iterator if it is an ``async def``). It returns like a command.
    """
    return _decorate("client_stream", target, main_thread)


@_typed
def bidi_stream(target: Any = None, *, main_thread: bool = False) -> Any:
    """Makes a generator function callable with ``Snakepit.execute_bidi_stream``.

    It takes chunks like a client stream and yields chunks like a stream.
    """
    return _decorate("bidi_stream", target, main_thread)


def on_start(hook: Hook) -> Hook:
    """Has the worker run the function, which may be async, before it takes calls.

    Hooks run in the order of their registration; one that raises makes the start of
    the worker fail.
    """
    _registry.default.add_start_hook(hook)
    return hook


def on_stop(hook: Hook) -> Hook:
    """Has the worker run the function, which may be async, after its last call.

    Hooks run in the reverse order of their registration, each one whatever the others raise. They
    do not run when the worker is killed.
    """
    _registry.default.add_stop_hook(hook)
    return hook


def on_session_end(hook: SessionHook) -> SessionHook:
    """Has the worker call ``hook(session_id, session)``, which may be async, after a session.

    A session ends when it is deleted, when it was not used for long enough, and when the worker
    stops. The hook gets the dict that was ``ctx.session``; it does not run for a session that no
    handler asked for, nor when the worker is killed. Hooks run in the reverse order of their
    registration, each one whatever the others raise.
    """
    _registry.default.add_session_end_hook(hook)
    return hook


def _decorate(kind: Kind, target: Any, main_thread: bool) -> Any:
    if target is not None and not isinstance(target, str):
        if not callable(target):
            raise TypeError(f"@{kind} takes a function or a name, got {target!r}")
        _registry.default.add(Handler(name_of(target), kind, target, main_thread))
        return target

    def decorate(function: Function) -> Function:
        name = name_of(function) if target is None else target
        _registry.default.add(Handler(name, kind, function, main_thread))
        return function

    return decorate
