"""A classifier of images, kept in a file."""

from __future__ import annotations

import math
import os
import pickle
from functools import lru_cache
from typing import Any

from snakepit_bridge import InvalidArguments


class Model:
    """A classifier whose features are the grey values of a square image."""

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier
        self._side = math.isqrt(classifier.n_features_in_)

    @classmethod
    def load(cls, path: str) -> Model:
        """The model in a file, which is read once as long as it does not change.

        Raises FileNotFoundError, and InvalidArguments for a file with anything else in it.
        """
        stat = os.stat(path)
        return _load(path, stat.st_mtime_ns, stat.st_size)

    def look_at(self, path: str) -> tuple[Any, float]:
        """What the image shows, and how sure that is in percent. Raises OSError."""
        likely = self._classifier.predict_proba([self._grey_values(path)])[0]
        best = int(likely.argmax())
        # A scalar of numpy, whatever the labels were.
        label = self._classifier.classes_[best].item()
        return label, round(100 * float(likely[best]), 1)

    def _grey_values(self, path: str) -> list[int]:
        from PIL import Image

        with Image.open(path) as image:
            grey = image.convert("L")
            if grey.size != (self._side, self._side):
                grey = grey.resize((self._side, self._side))
            return list(grey.tobytes())


@lru_cache(maxsize=4)
def _load(path: str, _changed: int, _size: int) -> Model:
    try:
        with open(path, "rb") as file:
            classifier = pickle.load(file)
        return Model(classifier)
    except (AttributeError, EOFError, ImportError, pickle.UnpicklingError) as error:
        raise InvalidArguments("model_path", f"{path} has no model in it: {error}") from error
