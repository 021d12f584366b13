"""The last chunk of a stream."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Final:
    """The final chunk of a stream, for async generators, which cannot return a value::

        @stream
        async def train(epochs: int):
            for epoch in range(epochs):
                yield {"epoch": epoch}
            yield Final({"final_model_path": "model.bin"})

    Nothing is taken from the generator after it. A plain generator may yield it too, or simply
    return the dict.
    """

    __slots__ = ("chunk",)

    def __init__(self, chunk: dict[str, Any] | None = None) -> None:
        if chunk is not None and not isinstance(chunk, dict):
            raise TypeError(f"Final takes a dict or nothing, got {type(chunk).__name__}")
        self.chunk = chunk

    def __repr__(self) -> str:
        return f"Final({self.chunk!r})"
