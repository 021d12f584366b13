"""The native transport, written in Rust: native/worker."""

from typing import Any

from ._dispatcher import Dispatcher

version: str

def claim_process() -> None:
    """Makes a process group, takes the standard input and output, and ties the worker's life to
    its parent's."""

def serve(dispatcher: Dispatcher, config: dict[str, Any]) -> None:
    """Serves the dispatcher's handlers. Returns after a proper stop."""
