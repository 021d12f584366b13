"""Finds handlers for a transport, runs the hooks, and turns exceptions into errors.

A Dispatcher knows no transport; every transport goes through one.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock

from . import _registry
from ._entry import Entry
from ._exceptions import Cancelled, SnakepitError, UnknownCommand
from ._sessions import MAX_SESSIONS, TTL, Sessions
from ._suggest import hint
from ._traceback import message_of, name_of_type, traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._aio import AsyncRunner
    from ._registry import Registry

#: The command by which a pool says that sessions are over.
END_SESSIONS = "snakepit.end_sessions"


class Dispatcher:
    """The handlers of one worker, with its sessions and its loop for async handlers.

    ``registry`` is that of the decorators if not given. The built-in commands are there as well,
    where the registry has none of the same name.
    """

    def __init__(
        self,
        worker_id: str,
        registry: Registry | None = None,
        *,
        max_sessions: int = MAX_SESSIONS,
        session_ttl: float = TTL,
    ) -> None:
        from . import _builtins

        self.worker_id = worker_id
        self.sessions = Sessions(max_sessions, session_ttl)
        self._registries = (registry or _registry.default, _builtins.registry)
        self._entries: dict[str, Entry] = {}
        self._runner: AsyncRunner | None = None
        self._lock = allocate_lock()
        self._started = False

    def find(self, command: str) -> Entry:
        """The handler of that name. Raises UnknownCommand, which names one that looks like it."""
        entry = self._entries.get(command)
        return self._make_entry(command) if entry is None else entry

    def commands(self) -> list[str]:
        """The names of all handlers, sorted."""
        return sorted({name for registry in self._registries for name in registry.names()})

    def start(self) -> None:
        """Runs the start hooks. What one raises is passed on, and the later ones do not run."""
        if not self._started:
            self._started = True
            for hook in self._registries[0].start_hooks:
                self._run_hook(hook)

    def stop(self) -> None:
        """Ends the sessions, runs the stop hooks and ends the loop of the async handlers.

        What a hook raises is printed to stderr. A second stop does nothing.
        """
        if self._started:
            self._started = False
            for session_id in self.sessions.ids():
                self.end_session(session_id)
            self._run_hooks("on_stop", self._registries[0].stop_hooks)
        with self._lock:
            runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def async_runner(self) -> AsyncRunner:
        """The loop that async handlers and hooks of this worker share."""
        with self._lock:
            if self._runner is None:
                from ._aio import AsyncRunner

                self._runner = AsyncRunner()
            return self._runner

    def end_session(self, session_id: str) -> bool:
        """Forgets the state of a session and runs the hooks for it. Says whether there was any."""
        session = self.sessions.end(session_id)
        if session is None:
            return False
        self._run_hooks(
            "on_session_end", self._registries[0].session_end_hooks, session_id, session
        )
        return True

    def describe_error(self, exc: BaseException) -> tuple[str, str, str, str, bool]:
        """``(kind, python_type, message, traceback, retryable)`` of an exception.

        ``kind`` is that of a SnakepitError, ``"cancelled"`` if the handler was cancelled in one of
        the three ways, and otherwise ``"python"``. The traceback begins at the handler's frame.
        """
        return (
            _kind(exc),
            name_of_type(exc),
            message_of(exc),
            traceback_of(exc),
            getattr(exc, "retryable", False) is True,
        )

    def _make_entry(self, command: str) -> Entry:
        if command == END_SESSIONS:
            return self._entries.setdefault(command, self._end_sessions_entry())
        for registry in self._registries:
            handler = registry.get(command)
            if handler is not None:
                # Not when the handler is registered: its annotations may name what comes after it.
                return self._entries.setdefault(command, Entry(handler, self.sessions))
        raise UnknownCommand(
            command, f"unknown command {command!r}{hint(command, self.commands(), 'commands')}"
        )

    def _end_sessions_entry(self) -> Entry:
        def end_sessions(sessions: list[str]) -> dict[str, int]:
            return {"ended": sum(map(self.end_session, sessions))}

        return Entry(_registry.Handler(END_SESSIONS, "command", end_sessions), self.sessions)

    def _run_hooks(self, kind: str, hooks: list[_registry.Hook], *args: Any) -> None:
        for hook in reversed(hooks):
            try:
                self._run_hook(hook, *args)
            except BaseException as exc:
                name = getattr(hook, "__qualname__", repr(hook))
                print(f"{kind} hook {name} failed:\n{traceback_of(exc)}", file=sys.stderr)

    def _run_hook(self, hook: _registry.Hook, *args: Any) -> None:
        result = hook(*args)
        if hasattr(result, "__await__"):
            self.async_runner().run(result)


def _kind(exc: BaseException) -> str:
    if isinstance(exc, (SnakepitError, Cancelled)):
        return exc.kind
    if isinstance(exc, GeneratorExit):
        return "cancelled"
    asyncio = sys.modules.get("asyncio")  # if it is not loaded, nothing can have raised its errors
    if asyncio is not None and isinstance(exc, asyncio.CancelledError):
        return "cancelled"
    return "python"
