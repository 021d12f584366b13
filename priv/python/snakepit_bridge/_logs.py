"""Sends what is logged with ``logging`` to the Elixir application, with its level.

``logging`` is slow to import and many workers never use it, so nothing happens until somebody
imports it. Then it works out of the box: what handlers log at level INFO and above becomes an event
of Elixir's Logger, and ``logging.basicConfig`` only changes the level and the format. Whoever
configures other handlers for the root logger gets those instead; what they print becomes plain log
lines.

A handler that logs without end costs neither itself nor Elixir much: what is beyond ``RATE`` is
counted and dropped.
"""

from __future__ import annotations

import sys

from ._budget import Budget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from logging import Handler, LogRecord
    from types import ModuleType
    from typing import Any

    Tell = Callable[[str], None]
    CurrentCall = Callable[[], "tuple[str, str] | None"]

#: A longer message is cut. Elixir cuts plain lines at the same length.
MOST = 65_536

#: So many records a second are passed on in the long run, and so many at once; of those below
#: WARNING, and of the others.
RATE = 1_000

#: So many characters of a message count as much as a record.
CHARACTERS = 1_000

LEVELS = {"off": 1_000, "error": 40, "warning": 30, "info": 20, "debug": 10, "trace": 1}

_handler: Handler | None = None
_wanted: str | None = None


def forward(tell: Tell, current_call: CurrentCall) -> None:
    """Has log records passed to ``tell`` as JSON, as soon as ``logging`` is imported.

    ``current_call`` gives the id and the command of the call in which it is called, or None.
    """
    if "logging" in sys.modules:
        _install(sys.modules["logging"], tell, current_call)
    else:
        sys.meta_path.insert(0, _Finder(lambda logging: _install(logging, tell, current_call)))


def set_level(name: str) -> None:
    """The Elixir application wants records from this level on, of its own names: that becomes the
    level of the root logger, and nothing below it is passed on."""
    global _wanted
    _wanted = name
    if _handler is not None:
        _set_level(sys.modules["logging"])


def _set_level(logging: Any) -> None:
    if _handler is not None and _wanted is not None:
        _handler.setLevel(LEVELS[_wanted])
        logging.root.setLevel(LEVELS[_wanted])


class _Finder:
    """Waits for the first import of ``logging``, which it leaves to the others."""

    def __init__(self, imported: Callable[[ModuleType], None]) -> None:
        self._imported = imported

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader, self._imported)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Loads a module like its own loader, and then says so."""

    def __init__(self, loader: Any, loaded: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._loaded = loaded

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._loaded(module)


def _install(logging: Any, tell: Tell, current_call: CurrentCall) -> None:
    global _handler
    handler = _handler = _make_handler(logging, tell, current_call)
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.INFO)
    _set_level(logging)
    configure = logging.basicConfig

    def basic_config(**options: Any) -> None:
        """Keeps the handler that is there, unless another is named."""
        if logging.root.handlers == [handler]:
            logging.basicConfig = configure
            logging.root.removeHandler(handler)
            if not {"stream", "filename", "handlers"} & options.keys():
                # Level and logger are told beside the message.
                options = {"format": "%(message)s", **options, "handlers": [handler]}
        configure(**options)
        _set_level(logging)

    logging.basicConfig = basic_config


def _make_handler(logging: Any, tell: Tell, current_call: CurrentCall) -> Handler:
    import json
    import threading

    class ElixirHandler(logging.Handler):  # type: ignore[misc]
        """Makes a log record an event of Elixir's Logger, unless there are too many."""

        def __init__(self) -> None:
            super().__init__()
            # Many details are not to hide what went wrong.
            self._details = Budget(RATE)
            self._warnings = Budget(RATE)
            self._dropped = 0

        # Called with the handler's lock held.
        def emit(self, record: LogRecord) -> None:
            budget = self._details if record.levelno < logging.WARNING else self._warnings
            if not budget.take():
                self._drop()
                return
            try:
                event = self._event(record)
                budget.spend(len(event["message"]) / CHARACTERS)
                tell(json.dumps(event))
            except Exception:
                self.handleError(record)

        def flush(self) -> None:
            """Tells how many records were dropped."""
            with self.lock:
                dropped, self._dropped = self._dropped, 0
            if dropped:
                tell(json.dumps({"event": "log_dropped", "count": dropped}))

        def _drop(self) -> None:
            self._dropped += 1
            if self._dropped == 1:
                telling = threading.Timer(1.0, self.flush)
                telling.daemon = True
                telling.start()

        def _event(self, record: LogRecord) -> dict[str, Any]:
            message = self.format(record)
            if len(message) > MOST:
                message = f"{message[:MOST]} [cut: the message has {len(message)} characters]"
            event = {
                "event": "log",
                "level": _level(record.levelno),
                "logger": record.name,
                "message": message,
            }
            call = current_call()
            if call is not None:
                event["request_id"], event["command"] = call
            return event

    handler: Handler = ElixirHandler()
    return handler


def _level(number: int) -> str:
    """The level of Elixir's Logger. Custom levels of ``logging`` count as the next one below."""
    if number >= 50:
        return "critical"
    if number >= 40:
        return "error"
    if number >= 30:
        return "warning"
    return "info" if number >= 20 else "debug"
