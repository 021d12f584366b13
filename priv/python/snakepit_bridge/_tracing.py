"""Continues the trace of a caller in the handler, with OpenTelemetry where that is installed.

A transport comes here only with a call whose metadata has a ``traceparent``, as W3C Trace Context
calls it. OpenTelemetry is imported with the first of them.
"""

from __future__ import annotations

from contextvars import Context as Variables
from contextvars import copy_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from ._context import Call
    from ._registry import Kind

    Invoke = Callable[..., Any]

#: The metadata by which a call belongs to a trace.
TRACEPARENT = "traceparent"

_attach: Callable[[dict[str, str]], object] | None = None
_sought = False


def continuing(invoke: Invoke, kind: Kind, is_async: bool) -> Invoke:
    """The same handler, in the context that the metadata of its call names.

    A sync handler, and each step of its generator, runs among context variables of its own; an
    async one has those of its task. So nothing is left behind for the next call.
    """
    if is_async:
        return _continuing_async(invoke)
    if kind in ("command", "client_stream"):
        return _continuing_function(invoke)
    return _continuing_generator(invoke)


def _continuing_function(invoke: Invoke) -> Invoke:
    def continued(args: dict[str, Any], call: Call, *chunks: Any) -> Any:
        return _variables(call).run(invoke, args, call, *chunks)

    return continued


def _continuing_generator(invoke: Invoke) -> Invoke:
    def continued(args: dict[str, Any], call: Call, *chunks: Any) -> Any:
        variables = _variables(call)
        return _stepped(variables.run(invoke, args, call, *chunks), variables)

    return continued


def _continuing_async(invoke: Invoke) -> Invoke:
    def continued(args: dict[str, Any], call: Call, *chunks: Any) -> Any:
        # Called by the task of the call, whose variables end with it.
        _enter(call)
        return invoke(args, call, *chunks)

    return continued


def _stepped(generator: Any, variables: Variables) -> Generator[Any, None, Any]:
    step = generator.__next__
    try:
        while True:
            try:
                chunk = variables.run(step)
            except StopIteration as stop:
                return stop.value
            yield chunk
    finally:
        variables.run(generator.close)


def _variables(call: Call) -> Variables:
    variables = copy_context()
    variables.run(_enter, call)
    return variables


def _enter(call: Call) -> None:
    attach = _attach if _sought else _find()
    if attach is not None:
        attach(call.metadata)


def _find() -> Callable[[dict[str, str]], object] | None:
    """OpenTelemetry's own functions, which know what formats the user has chosen."""
    global _attach, _sought
    try:
        from opentelemetry.context import attach
        from opentelemetry.propagate import extract
    except ImportError:
        pass
    else:
        _attach = lambda metadata: attach(extract(metadata))  # noqa: E731
    _sought = True
    return _attach
