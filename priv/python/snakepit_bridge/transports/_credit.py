"""How far one side of a stream may run ahead of the other."""

from __future__ import annotations

from collections import deque

#: Two tags and two lengths stand around each key and value.
ENTRY_OVERHEAD = 8


class Credit:
    """Credit for ``window`` chunks and ``max_buffer`` bytes; 0 means no limit.

    A chunk may be sent while fewer than that are unacknowledged: so the bytes exceed the limit by
    less than one chunk, and a chunk larger than all of it still passes, alone. The sender keeps the
    account; the receiver says how many chunks it has consumed.
    """

    def __init__(self, window: int, max_buffer: int) -> None:
        self._window = window
        self._max_buffer = max_buffer
        self._sizes: deque[int] = deque()
        self._bytes = 0

    def available(self) -> bool:
        """Whether one more chunk may be sent now."""
        within_window = not self._window or len(self._sizes) < self._window
        return within_window and (not self._max_buffer or self._bytes < self._max_buffer)

    def spend(self, size: int) -> None:
        """Spends credit for a chunk of so many bytes. Without limits nothing is kept."""
        if self._window or self._max_buffer:
            self._sizes.append(size)
            self._bytes += size

    def acknowledge(self, chunks: int) -> None:
        """Gives back the credit of the oldest; more than are out is taken as all."""
        for _ in range(min(chunks, len(self._sizes))):
            self._bytes -= self._sizes.popleft()
