"""What a handler's function says about itself, without the slow import of inspect."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Bits of code.co_flags, the same in every version.
GENERATOR = 0x20
COROUTINE = 0x80
ASYNC_GENERATOR = 0x200


def name_of(function: Callable[..., Any]) -> str:
    """The name it was defined with. Raises TypeError if it has none."""
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise TypeError(f"{function!r} has no name of its own: give it one, as in command('name')")
    return name


def unwrapped(function: Any) -> Any:
    """The function below decorators, methods and callable objects."""
    while True:
        if hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif hasattr(function, "__func__"):
            function = function.__func__
        elif hasattr(function, "__code__") or isinstance(function, type):
            return function
        elif hasattr(function, "func"):  # functools.partial
            function = function.func
        elif hasattr(type(function).__call__, "__code__"):
            function = type(function).__call__
        else:
            return function


def code_flags(function: Callable[..., Any]) -> int:
    """The flags of its code; those below decorators, for they say what calling it gives."""
    code = getattr(unwrapped(function), "__code__", None)
    return getattr(code, "co_flags", 0)


def source(function: Callable[..., Any]) -> tuple[object, ...]:
    """Where it was defined: equal for two functions that come from the same lines."""
    inner = unwrapped(function)
    code = getattr(inner, "__code__", None)
    if code is None:
        return (inner,)
    # What is typed into a console has no file: there, defining a name again replaces it.
    line = 0 if code.co_filename.startswith("<") else code.co_firstlineno
    return (code.co_filename, line, inner.__qualname__)


def place(function: Callable[..., Any]) -> str:
    """Where it was defined, for messages."""
    inner = unwrapped(function)
    code = getattr(inner, "__code__", None)
    name = getattr(inner, "__qualname__", repr(inner))
    module = getattr(inner, "__module__", "?")
    where = f"{module}.{name}"
    return where if code is None else f"{where} ({code.co_filename}:{code.co_firstlineno})"
