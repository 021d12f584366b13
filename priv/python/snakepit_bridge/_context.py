"""What a handler can know about the call it serves."""

from __future__ import annotations

from time import monotonic

from ._exceptions import Cancelled, SessionNotFound
from ._progress import Reports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from ._sessions import Sessions

    class Call(Protocol):
        """One call, as the transport sees it."""

        @property
        def command(self) -> str: ...
        @property
        def request_id(self) -> str: ...
        @property
        def session_id(self) -> str:
            """Empty when the call has no session."""

        @property
        def metadata(self) -> dict[str, str]: ...
        @property
        def worker_id(self) -> str: ...
        @property
        def deadline(self) -> float | None:
            """In seconds of ``time.monotonic()``; None when the call has no time limit."""

        @property
        def cancelled(self) -> bool: ...


class Context:
    """The call that a handler serves. A handler gets it by asking for it::

        @command
        def train(ctx: Context, epochs: int) -> dict: ...

    That is: by a parameter annotated ``Context``, or by a first parameter named ``ctx``.
    """

    __slots__ = ("_call", "_reports", "_session", "_sessions")

    def __init__(self, call: Call, sessions: Sessions) -> None:
        self._call = call
        self._sessions = sessions
        self._session: dict[str, Any] | None = None
        self._reports: Reports | None = None

    @property
    def session(self) -> dict[str, Any]:
        """The dict that this worker keeps for the session of the call, for any values.

        All calls of one session see the same dict; calls that run at the same time share it.
        Raises SessionNotFound if the call was made without a session.
        """
        if self._session is None:
            if not self._call.session_id:
                raise SessionNotFound(
                    f"{self._call.command!r} uses ctx.session and was called without a session:"
                    " call it with Snakepit.execute_in_session"
                )
            self._session = self._sessions.get(self._call.session_id)
        return self._session

    @property
    def session_id(self) -> str:
        """The id of the session; the empty string if the call has none."""
        return self._call.session_id

    @property
    def command(self) -> str:
        """The name under which the handler was called."""
        return self._call.command

    @property
    def request_id(self) -> str:
        """The id that the caller gave to the call, for logs; the empty string if none."""
        return self._call.request_id

    @property
    def metadata(self) -> dict[str, str]:
        """What the caller sent along with the call besides the arguments."""
        return self._call.metadata

    @property
    def worker_id(self) -> str:
        """The name of this worker process in its pool."""
        return self._call.worker_id

    def time_remaining(self) -> float | None:
        """Seconds until the caller gives up, at least 0.0; None if it waits for ever."""
        deadline = self._call.deadline
        return None if deadline is None else max(0.0, deadline - monotonic())

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Says how far the handler is, from 0 to 1: who watches the job sees it.

        Free to be called often: of more than a thousand calls a second some are not passed on.
        Without a job nobody listens. Raises ValueError if ``fraction`` is no number from 0 to 1.
        """
        if self._reports is None:
            self._reports = Reports(self._call)
        self._reports.report(fraction, message)

    @property
    def cancelled(self) -> bool:
        """Whether the caller no longer wants the result."""
        return self._call.cancelled

    def check_cancelled(self) -> None:
        """Raises Cancelled if the caller no longer wants the result.

        Loops in Python code need not call it, for they are interrupted; code that leaves Python for
        long times, as numeric libraries do, ends sooner when it does so between its steps.
        """
        if self._call.cancelled:
            raise Cancelled
