"""The exceptions of snakepit_bridge.

    Exception
      SnakepitError
        UnknownCommand      no command or stream of that name
        InvalidArguments    an argument is missing, unknown or of the wrong type
        EncodingError       a value has no form on the wire
        SessionNotFound     ctx.session was used in a call that has no session
        InputFailed         the caller's own stream of chunks ended with an error
    BaseException
      Cancelled             the caller no longer wants the result

Every other exception that a handler raises reaches the caller as it is: with its type, its message
and its traceback. An exception with a true attribute ``retryable`` tells the caller that the same
call may succeed when it is made again.
"""

from __future__ import annotations


class SnakepitError(Exception):
    """Base class of the errors that snakepit_bridge itself raises."""

    #: The ``kind`` of the ``Snakepit.Error`` that the caller gets.
    kind = "python"


class _NamedError(SnakepitError):
    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.name = name
        self.message = message

    def __str__(self) -> str:
        return self.message


class UnknownCommand(_NamedError):
    """There is no handler of the name ``name``."""

    kind = "unknown_command"


class InvalidArguments(_NamedError):
    """The argument ``name`` cannot be used.

    Raised before the handler runs when the arguments do not fit its signature. Handlers raise it
    too, for what a signature cannot say::

        raise InvalidArguments("limit", "argument 'limit' must be positive, got -1")
    """

    kind = "invalid_arguments"


class EncodingError(SnakepitError):
    """A value cannot be sent; the message names its path, as in ``result.layers[3]``."""

    kind = "encoding"


class SessionNotFound(SnakepitError):
    """``ctx.session`` was used in a call that was made without a session."""

    kind = "session_not_found"


class InputFailed(SnakepitError):
    """What the caller sends could not be produced to its end.

    Raised where a handler waits for its next chunk. The caller gets its own exception, whatever
    the handler does.
    """


class Cancelled(BaseException):
    """The caller has halted, timed out or gone, so the handler should end.

    It is raised inside a handler that is busy in Python code, and by ``ctx.check_cancelled()``.
    Like ``KeyboardInterrupt`` it is no ``Exception``, so that ``except Exception`` lets it through.
    """

    kind = "cancelled"
