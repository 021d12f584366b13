"""Data files of installed packages, found without importing the packages: some import a lot."""

from __future__ import annotations

import os
from importlib.util import find_spec


def data_file(package: str, *parts: str, distribution: str | None = None) -> str:
    """The path of a file in the package. Raises ModuleNotFoundError if it is not installed.

    ``distribution`` is the name by which pip knows it, if that is another one.
    """
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(
            f"this example reads a file of the package {package}:"
            f" pip install --no-deps {distribution or package}",
            name=package,
        )
    return os.path.join(next(iter(spec.submodule_search_locations)), *parts)
