"""A handler that takes a processor."""

import time

from snakepit_bridge import command


@command
def work(ms: int):
    """Takes so much of a core, however long that takes."""
    until = time.process_time() + ms / 1000
    while time.process_time() < until:
        pass
