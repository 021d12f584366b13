"""The Python side of Snakepit: functions that an Elixir application calls and streams from.

    from snakepit_bridge import Context, command, stream

    @command
    def summarize(text: str, limit: int = 100) -> dict:
        return {"summary": text[:limit]}

    @stream
    def train(ctx: Context, epochs: int):
        for epoch in range(epochs):
            yield {"epoch": epoch}
        return {"final_model_path": "model.bin"}

In Elixir these are ``Snakepit.execute("summarize", %{text: text})`` and
``Snakepit.execute_stream("train", %{epochs: 3}, fn chunk -> ... end)``.
"""

from __future__ import annotations

from ._context import Context
from ._decorators import (
    bidi_stream,
    client_stream,
    command,
    on_session_end,
    on_start,
    on_stop,
    stream,
)
from ._exceptions import (
    Cancelled,
    EncodingError,
    InputFailed,
    InvalidArguments,
    SessionNotFound,
    SnakepitError,
    UnknownCommand,
)
from ._final import Final

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Context",
    "EncodingError",
    "Final",
    "InputFailed",
    "InvalidArguments",
    "SessionNotFound",
    "SnakepitError",
    "UnknownCommand",
    "__version__",
    "bidi_stream",
    "client_stream",
    "command",
    "on_session_end",
    "on_start",
    "on_stop",
    "stream",
]

# In messages and tracebacks they appear by the name that they are imported by.
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__
del _name
