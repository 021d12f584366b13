"""Sends what is logged with ``logging`` to the Elixir application, with its level.

``logging`` is slow to import and many workers never use it, so nothing happens until somebody
imports it. Then it works out of the box: what handlers log at level INFO and above becomes an event
of Elixir's Logger, and ``logging.basicConfig`` only changes the level and the format. Whoever
configures other handlers for the root logger gets those instead; what they print becomes plain log
lines.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from logging import Handler, LogRecord
    from types import ModuleType
    from typing import Any

    Tell = Callable[[str], None]
    RequestId = Callable[[], "str | None"]

#: A longer message is cut. Elixir cuts plain lines at the same length.
MOST = 65_536


def forward(tell: Tell, request_id: RequestId) -> None:
    """Has log records passed to ``tell`` as JSON, as soon as ``logging`` is imported.

    ``request_id`` gives the id of the call in which it is called, or None.
    """
    if "logging" in sys.modules:
        _install(sys.modules["logging"], tell, request_id)
    else:
        sys.meta_path.insert(0, _Finder(lambda logging: _install(logging, tell, request_id)))


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


def _install(logging: Any, tell: Tell, request_id: RequestId) -> None:
    handler = _make_handler(logging, tell, request_id)
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.INFO)
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

    logging.basicConfig = basic_config


def _make_handler(logging: Any, tell: Tell, request_id: RequestId) -> Handler:
    import json

    class ElixirHandler(logging.Handler):  # type: ignore[misc]
        """Makes a log record an event of Elixir's Logger."""

        def emit(self, record: LogRecord) -> None:
            try:
                tell(json.dumps(self._event(record)))
            except Exception:
                self.handleError(record)

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
            call = request_id()
            if call:
                event["request_id"] = call
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
