#!/usr/bin/env python3
"""Starts a Snakepit worker. Pools run this file; ``--help`` tells what it takes."""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES

# The package beside this file is taken if it has its native part for this Python: in a release it
# belongs to the Elixir side that starts it, whatever version may be installed. Otherwise an
# installed one comes first, which may have it. For all other imports this directory is the last.
_here = os.path.dirname(os.path.abspath(__file__))
_others = [path for path in sys.path if os.path.abspath(path or ".") != _here]
_native = os.path.join(_here, "snakepit_bridge", "_native")
_complete = any(os.path.exists(_native + suffix) for suffix in EXTENSION_SUFFIXES)
sys.path[:] = [_here, *_others] if _complete else [*_others, _here]

from snakepit_bridge._worker import main  # noqa: E402

sys.path[:] = [*_others, _here]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
