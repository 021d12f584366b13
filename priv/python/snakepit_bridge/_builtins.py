"""The commands that every worker has, unless the user's modules define their own of that name."""

from __future__ import annotations

from ._exceptions import InvalidArguments
from ._registry import Handler, Registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    Chunk = dict[str, Any]


def ping() -> Chunk:
    """Tells that the worker answers: ``{"status": "ok", "message": "pong"}``."""
    return {"status": "ok", "message": "pong"}


def echo(**args: Any) -> Chunk:
    """Returns its arguments."""
    return args


def compute(operation: str, a: int | float, b: int | float) -> Chunk:
    """``{"result": a op b}`` for the operation add, subtract, multiply or divide.

    Raises ZeroDivisionError, and InvalidArguments for any other operation.
    """
    if operation == "add":
        return {"result": a + b}
    if operation == "subtract":
        return {"result": a - b}
    if operation == "multiply":
        return {"result": a * b}
    if operation == "divide":
        return {"result": a / b}
    raise InvalidArguments(
        "operation",
        f"argument 'operation' must be add, subtract, multiply or divide, got {operation!r}",
    )


def ping_stream(
    count: int = 5, interval: int = 0
) -> Generator[dict[str, Any], None, dict[str, Any] | None]:
    """``count`` chunks ``{"message": "ping 1", "index": 1}``, …, ``interval`` milliseconds apart.

    The last of them is the final chunk.
    """
    from time import sleep

    for index in range(1, count):
        yield _ping(index)
        if interval:
            sleep(interval / 1000)
    return _ping(count) if count > 0 else None


def _ping(index: int) -> Chunk:
    return {"message": f"ping {index}", "index": index}


registry = Registry()
for _function in (ping, echo, compute):
    registry.add(Handler(_function.__name__, "command", _function))
registry.add(Handler("ping_stream", "stream", ping_stream))
