"""The state that a worker keeps for each session."""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic
from weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_SESSIONS = 10_000
TTL = 3600.0


class Session(dict[str, "Any"]):
    """A dict that can be referred to weakly."""

    __slots__ = ("__weakref__", "used")

    used: float


class Sessions:
    """One dict per session id; safe to use from many threads.

    A session that was not used for ``ttl`` seconds is forgotten, and of more than ``max_sessions``
    the ones unused for longest, so that sessions nobody ends cannot fill the memory. A session that
    a running call holds is never lost: it is only held weakly from then on.
    """

    def __init__(self, max_sessions: int = MAX_SESSIONS, ttl: float = TTL) -> None:
        self._max_sessions = max_sessions
        self._ttl = ttl
        self._lock = allocate_lock()
        self._live: dict[str, Session] = {}  # the one used longest ago comes first
        self._expired: dict[str, ref[Session]] = {}

    def get(self, session_id: str) -> dict[str, Any]:
        """The dict of ``session_id``, an empty one if the session is new."""
        with self._lock:
            session = self._live.pop(session_id, None)
            if session is None:
                session = self._revive(session_id)
            session.used = monotonic()
            self._live[session_id] = session
            self._sweep(session.used)
            return session

    def end(self, session_id: str) -> dict[str, Any] | None:
        """Forgets a session. Returns its dict, None if there was none."""
        with self._lock:
            live = self._live.pop(session_id, None)
            held = self._expired.pop(session_id, None)
            return held() if live is None and held is not None else live

    def ids(self) -> list[str]:
        """The sessions there are."""
        with self._lock:
            return list(self._live)

    def __len__(self) -> int:
        return len(self._live)

    def _revive(self, session_id: str) -> Session:
        held = self._expired.pop(session_id, None)
        session = held() if held is not None else None
        return Session() if session is None else session

    def _sweep(self, now: float) -> None:
        while True:
            session_id, session = next(iter(self._live.items()))
            if len(self._live) <= self._max_sessions and now - session.used <= self._ttl:
                return
            del self._live[session_id]
            self._expired[session_id] = ref(session)
            del session
            if self._expired[session_id]() is None:
                del self._expired[session_id]
