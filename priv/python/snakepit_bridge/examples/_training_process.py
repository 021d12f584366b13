"""One of the processes that train: it gets its part of the data once, and parameters each epoch."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from ._memory import resident_mb
from ._network import descend


def main(descriptor: int) -> None:
    """Ends when the other side of the connection does."""
    connection = Connection(descriptor)
    try:
        features, labels = connection.recv()
        while True:
            parameters, rate, batch_size, seed = connection.recv()
            results = descend(parameters, features, labels, rate, batch_size, seed)
            connection.send((len(labels), *results, resident_mb()))
    except (EOFError, OSError):
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
