"""A handler made ready to be called by a transport."""

from __future__ import annotations

from ._binding import compile_binding
from ._chunks import async_chunks, awaited, chunks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._context import Call
    from ._registry import Handler, Kind
    from ._sessions import Sessions


class Entry:
    """One handler of one worker.

    ``invoke(args, call)``, or ``invoke(args, call, chunks)`` for client and bidi streams, binds the
    arguments (InvalidArguments if they do not fit) and gives

    * for a command or client stream: the result dict, or a coroutine of it if ``is_async``
    * for a stream or bidi stream: a generator of dicts that returns the final chunk or None, or
      if ``is_async`` an async generator of dicts and at most one Final

    ``chunks`` is an iterator of dicts, or an async one if ``is_async``.
    """

    __slots__ = ("_traced", "invoke", "is_async", "kind", "main_thread", "name")

    def __init__(self, handler: Handler, sessions: Sessions) -> None:
        self.name = handler.name
        self.kind: Kind = handler.kind
        self.is_async = handler.is_async
        self.main_thread = handler.main_thread
        self.invoke: Callable[..., Any] = compile_binding(
            handler.function,
            _delivery(handler),
            sessions,
            takes_chunks=self.kind in ("client_stream", "bidi_stream"),
        )

        self._traced: Entry | None = None

    def for_call(self, call: Call) -> Entry:
        """The entry that is to serve a call: one that belongs to a trace continues it."""
        return self.traced() if "traceparent" in call.metadata else self

    def traced(self) -> Entry:
        """The same entry for calls that belong to a trace."""
        if self._traced is None:
            from copy import copy

            from ._tracing import continuing

            traced = copy(self)
            traced.invoke = continuing(self.invoke, self.kind, self.is_async)
            self._traced = traced
        return self._traced

    def __repr__(self) -> str:
        return f"<{'async ' if self.is_async else ''}{self.kind} {self.name!r}>"


def _delivery(handler: Handler) -> Callable[[Any], Any] | None:
    """What becomes of the value that the function returns; None for a plain command."""
    if handler.kind in ("command", "client_stream"):
        return awaited if handler.is_async else None
    return async_chunks if handler.is_async else chunks
