"""The native transport, written in Rust: native/worker."""

from typing import Any

from ._dispatcher import Dispatcher

version: str

def claim_process(socket: str | None = None) -> None:
    """Makes a process group, takes the standard input and output, and ties the worker's life,
    and that of its socket, to its parent's."""

def tell_parent(json: str) -> None:
    """Writes a control line, a JSON object with the key ``event``, to the parent process."""

def current_call() -> tuple[str, str] | None:
    """The id and the command of the call that the current thread runs. None elsewhere, and on the
    asyncio loop."""

def set_log_level(name: str) -> None:
    """Sets from which level on what the transport itself has to say is told: "off", "error",
    "warning", "info", "debug" or "trace"."""

def pack(value: Any, root: str = "value") -> bytes:
    """Packs one value as MessagePack, as the contract has it.

    Raises EncodingError, whose message names the path from ``root`` on.
    """

def unpack(data: bytes, root: str = "value") -> Any:
    """Unpacks one MessagePack value, which must be all of ``data``. Raises EncodingError."""

def serve(dispatcher: Dispatcher, config: dict[str, Any]) -> None:
    """Serves the dispatcher's handlers. Returns after a proper stop."""
