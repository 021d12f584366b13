"""Rows of numbers with a label each, to train on."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np

from snakepit_bridge import InvalidArguments

from ._network import Array
from ._package_data import data_file


def digits_path() -> str:
    """1,797 handwritten digits of 8 by 8 pixels, which come in scikit-learn."""
    return data_file("sklearn", "datasets", "data", "digits.csv.gz", distribution="scikit-learn")


def read_csv(path: str) -> tuple[Array, Array]:
    """Features and labels of a CSV file without a header, whose last column is the label."""
    opened: Any = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as file:
        rows = [line.strip().split(",") for line in file if line.strip()]
    try:
        if not rows or len(rows[0]) < 2:
            raise ValueError("a number and a label at least")
        features = np.array([row[:-1] for row in rows], dtype=np.float64)
        return features, _whole([row[-1] for row in rows])
    except ValueError as error:
        raise InvalidArguments(
            "dataset_path", f"argument 'dataset_path': {path}: {error}"
        ) from None


def split(count: int, share: float, seed: int) -> tuple[Array, Array]:
    """The places of the rows to train on and of those to validate with, in random order."""
    order = np.random.default_rng(seed).permutation(count)
    validation = max(1, round(count * share))
    return order[validation:], order[:validation]


def _whole(labels: list[str]) -> Array:
    """As integers, if they are."""
    try:
        return np.array([int(float(label)) for label in labels])
    except ValueError:
        return np.array(labels)
