"""Errors of handlers, told in a way that helps the one who wrote the handler."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

#: Longer tracebacks lose their middle, so that an error stays a small message. In characters.
LONGEST = 32_768

_OURS = frozenset(
    __file__.rpartition("_traceback")[0] + name + ".py"
    for name in ("_aio", "_binding", "_checks", "_chunks", "_dispatcher", "_entry", "_worker")
)

_TRANSPORTS = __file__.rpartition("_traceback")[0] + "transports"


def traceback_of(exc: BaseException) -> str:
    """The traceback from the handler's first frame on, as text.

    Without frames it is just the line of the exception, as for arguments that do not fit.
    """
    from traceback import format_exception

    try:
        text = "".join(format_exception(type(exc), exc, _from_the_handler_on(exc.__traceback__)))
    except Exception:  # an exception whose own __str__ or __notes__ fail
        return name_of_type(exc) + "\n"
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n  ... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def message_of(exc: BaseException) -> str:
    """What the exception says, or its type if it says nothing."""
    try:
        return str(exc) or name_of_type(exc)
    except Exception:
        return f"{name_of_type(exc)} (its __str__ fails)"


def name_of_type(exc: BaseException) -> str:
    """The type as Python prints it: ``ValueError``, ``my_app.errors.Rejected``."""
    kind = type(exc)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _from_the_handler_on(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    return trace


def _is_ours(trace: TracebackType) -> bool:
    file = trace.tb_frame.f_code.co_filename
    return file in _OURS or file.startswith(("<snakepit_bridge ", "<frozen importlib", _TRANSPORTS))
