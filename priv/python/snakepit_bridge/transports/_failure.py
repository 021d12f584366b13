"""Why a call failed, in the terms of the contract."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    from .._dispatcher import Dispatcher

    class Detail(TypedDict):
        """An ErrorDetail of the contract."""

        kind: str
        type: str
        message: str
        traceback: str
        retryable: bool


#: As the decorators are called, and the function of the Elixir facade that calls such a handler.
CALLERS = {
    "command": "execute",
    "stream": "execute_stream",
    "client_stream": "execute_client_stream",
    "bidi_stream": "execute_bidi_stream",
}


class Refused(Exception):
    """The call failed outside its handler; nothing but a kind and a message is to be told."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def wrong_kind(command: str, kind: str) -> Refused:
    """The command is called in a way that it is not made for."""
    return Refused("invalid_arguments", f"{command} is a @{kind}: call it with {CALLERS[kind]}")


def too_large(what: str, size: int, limit: int) -> Refused:
    """A message is above the limit."""
    return Refused("too_large", f"a {what} of {size} bytes is over max_message_size, {limit} bytes")


def described(value: object) -> str:
    """What it is, by its type, as errors put it."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"an object of type {module}{kind.__qualname__}"


def check_names(values: object, root: str) -> None:
    """Raises Refused for what is no dict, or has keys that are no strings."""
    if not isinstance(values, dict):
        raise Refused("encoding", f"{root}: expected a dict, got {described(values)}")
    for name in values:
        if not isinstance(name, str):
            raise Refused("encoding", f"{root}: the key {name!r} is {described(name)}, not str")


def detail_of(exc: BaseException, dispatcher: Dispatcher) -> Detail:
    """What the caller is told of an exception."""
    if isinstance(exc, Refused):
        kind, type_, message, traceback, retryable = exc.kind, "", exc.message, "", False
    else:
        try:
            kind, type_, message, traceback, retryable = dispatcher.describe_error(exc)
        except Exception as second:  # a broken __str__ in the exception, say
            message = f"an exception that cannot be described: {type(second).__name__}"
            kind, type_, traceback, retryable = "python", type(exc).__name__, "", False
    return {
        "kind": kind,
        "type": _sendable(type_),
        "message": _sendable(message),
        "traceback": _sendable(traceback),
        "retryable": retryable,
    }


def _sendable(text: str) -> str:
    """The text without surrogates, which have no form in UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
