"""Which handlers there are."""

from __future__ import annotations

from ._functions import ASYNC_GENERATOR, COROUTINE, GENERATOR, code_flags, place, source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    Kind = Literal["command", "stream", "client_stream", "bidi_stream"]
    Hook = Callable[..., Any]


class Handler:
    """A function registered under a name."""

    __slots__ = ("function", "is_async", "kind", "main_thread", "name")

    def __init__(
        self, name: str, kind: Kind, function: Callable[..., Any], main_thread: bool = False
    ) -> None:
        flags = code_flags(function)
        self.name = name
        self.kind: Kind = kind
        self.function = function
        self.is_async = bool(flags & (COROUTINE | ASYNC_GENERATOR))
        self.main_thread = main_thread
        self._check(flags)

    def _check(self, flags: int) -> None:
        one_result = self.kind in ("command", "client_stream")
        if one_result and flags & (GENERATOR | ASYNC_GENERATOR):
            twin = "stream" if self.kind == "command" else "bidi_stream"
            raise TypeError(f"{self.name!r} yields chunks: decorate it with @{twin}")
        if not one_result and flags & COROUTINE:
            raise TypeError(f"the async {self.kind} {self.name!r} must yield its chunks")
        if self.main_thread and self.is_async:
            raise TypeError(f"{self.name!r} is async and cannot run in the main thread")
        if self.kind in ("client_stream", "bidi_stream"):
            from ._binding import Signature

            Signature(self.function, takes_chunks=True)

    def same_source(self, other: Handler) -> bool:
        """Whether both come from the same lines, as when a module is imported twice."""
        return source(self.function) == source(other.function)


class Registry:
    """Handlers by name, and the hooks of the worker and its sessions in their order."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self.start_hooks: list[Hook] = []
        self.stop_hooks: list[Hook] = []
        self.session_end_hooks: list[Hook] = []

    def add(self, handler: Handler) -> None:
        """Registers a handler. Raises ValueError if the name belongs to another function."""
        there = self._handlers.get(handler.name)
        if there is not None and not there.same_source(handler):
            raise ValueError(
                f"there is already a {there.kind} {handler.name!r}: {place(there.function)}; now"
                f" also {place(handler.function)}. Give one of them another name"
            )
        self._handlers[handler.name] = handler

    def get(self, name: str) -> Handler | None:
        """The handler of that name, or None."""
        return self._handlers.get(name)

    def names(self) -> list[str]:
        """The names of all handlers."""
        return list(self._handlers)

    def add_start_hook(self, hook: Hook) -> None:
        """Adds a hook to run before the first call."""
        _add_hook(self.start_hooks, hook)

    def add_stop_hook(self, hook: Hook) -> None:
        """Adds a hook to run after the last call."""
        _add_hook(self.stop_hooks, hook)

    def add_session_end_hook(self, hook: Hook) -> None:
        """Adds a hook to run with the id and the dict of a session that has ended."""
        _add_hook(self.session_end_hooks, hook)


def _add_hook(hooks: list[Hook], hook: Hook) -> None:
    for index, there in enumerate(hooks):
        if source(there) == source(hook):
            hooks[index] = hook
            return
    hooks.append(hook)


#: The handlers that the decorators register.
default = Registry()
