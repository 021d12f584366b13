#!/usr/bin/env python3
"""Starts a Snakepit worker. Pools run this file; ``--help`` tells what it takes."""

import os
import sys

# The script's directory comes first in sys.path and would hide an installed snakepit_bridge, which
# unlike the sources beside this file may have its native part.
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != _here] + [_here]

from snakepit_bridge._worker import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
