"""A trained network with what belongs to it, in one file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from snakepit_bridge import InvalidArguments

from ._network import Array, Parameters, initial, probabilities
from ._replacing import replacing

ARCHITECTURES = ("mlp", "softmax")
_LIMITS = {"layers": (1, 8), "hidden_size": (1, 4_096), "seed": (0, 2**32 - 1)}


class Classifier:
    """Tells the classes of rows apart.

    ``architecture`` is "mlp", with ``layers`` hidden layers of ``hidden_size`` units, or "softmax",
    without any.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        known = {"architecture": "mlp", "layers": 1, "hidden_size": 64, "seed": 0}
        for name in config:
            if name not in known:
                raise _invalid(f"{name!r} is none of {', '.join(known)}")
        self.config = {**known, **config}
        if self.config["architecture"] not in ARCHITECTURES:
            raise _invalid(
                f"architectures are mlp and softmax, not {self.config['architecture']!r}"
            )
        for name, (least, most) in _LIMITS.items():
            value = self.config[name]
            if type(value) is not int or not least <= value <= most:
                raise _invalid(f"{name!r} is a whole number from {least} to {most}, not {value!r}")
        self.parameters: Parameters = []
        self.classes: Array = np.array([])
        self.mean: Array = np.array([])
        self.scale: Array = np.array([])

    @property
    def trained(self) -> bool:
        return bool(self.parameters)

    def fit_to(self, features: Array, labels: Array) -> None:
        """Takes the shape of the data, unless it has one.

        Raises InvalidArguments if the data are of another one.
        """
        if self.trained:
            if features.shape[1] != len(self.mean) or not set(labels) <= set(self.classes):
                raise _invalid("the model was trained on data of another shape or other labels")
            return
        self.classes = np.unique(labels)
        self.mean = features.mean(axis=0)
        deviation = features.std(axis=0)
        self.scale = np.where(deviation > 0, deviation, 1.0)
        hidden = [self.config["hidden_size"]] * self.config["layers"]
        if self.config["architecture"] == "softmax":
            hidden = []
        sizes = [features.shape[1], *hidden, len(self.classes)]
        self.parameters = initial(sizes, self.config["seed"])

    def scaled(self, features: Array) -> Array:
        scaled: Array = (features - self.mean) / self.scale
        return scaled

    def places(self, labels: Array) -> Array:
        """The labels as the network has them, numbered from 0."""
        return np.searchsorted(self.classes, labels)

    def predict(self, features: Array) -> tuple[list[Any], list[float]]:
        """The most probable label of each row, and its probability."""
        found = probabilities(self.parameters, self.scaled(features))
        return self.classes[found.argmax(axis=1)].tolist(), found.max(axis=1).tolist()

    def save(self, path: str, **facts: Any) -> None:
        """Writes the file: whole or not at all, whenever this process ends."""
        arrays: dict[str, Any] = {
            f"parameter_{place}": array for place, array in enumerate(self.parameters)
        }
        with replacing(path) as file:
            np.savez(
                file,
                about=json.dumps({"config": self.config, **facts}),
                classes=self.classes,
                mean=self.mean,
                scale=self.scale,
                **arrays,
            )


def load(path: str) -> tuple[Classifier, dict[str, Any]]:
    """What ``save`` wrote: the classifier, and the facts."""
    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(str(file["about"]))
        classifier = Classifier(facts.pop("config"))
        classifier.classes, classifier.mean = file["classes"], file["mean"]
        classifier.scale = file["scale"]
        count = sum(name.startswith("parameter_") for name in file.files)
        classifier.parameters = [file[f"parameter_{place}"] for place in range(count)]
    return classifier, facts


def _invalid(why: str) -> InvalidArguments:
    return InvalidArguments("model_config", f"argument 'model_config': {why}")
