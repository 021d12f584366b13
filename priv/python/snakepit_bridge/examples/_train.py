"""Training with the data spread over processes, whose parameters are averaged after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from time import monotonic
from typing import Any, NamedTuple

from snakepit_bridge import InvalidArguments

from ._classifier import Classifier
from ._labelled import split
from ._memory import resident_mb
from ._network import Array, average, evaluate
from ._processes import Processes

#: More processes than this are not started.
MOST_PROCESSES = 32

Metrics = dict[str, Any]


class Settings(NamedTuple):
    """How to train."""

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 0.1
    #: What the rate is multiplied by after each epoch.
    decay: float = 1.0
    processes: int = 2
    validation_share: float = 0.2
    seed: int = 0

    @classmethod
    def of(cls, given: dict[str, Any]) -> Settings:
        """Raises InvalidArguments for what is none of them, or out of its range."""
        for name, value in given.items():
            if name not in cls._fields:
                raise _invalid(f"{name!r} is none of {', '.join(cls._fields)}")
            whole = type(cls._field_defaults[name]) is int
            if type(value) not in ((int,) if whole else (int, float)):
                raise _invalid(f"{name!r} is a {'whole number' if whole else 'number'}")
        settings = cls(**given)
        for name in ("epochs", "batch_size", "learning_rate", "decay", "processes"):
            if not getattr(settings, name) > 0:
                raise _invalid(f"{name!r} must be positive")
        if settings.processes > MOST_PROCESSES:
            raise _invalid(f"there are {MOST_PROCESSES} processes at most")
        if not 0 < settings.validation_share < 1 or settings.seed < 0:
            raise _invalid("'validation_share' is between 0 and 1, and 'seed' not negative")
        return settings


def train(
    classifier: Classifier,
    features: Array,
    labels: Array,
    settings: Settings,
    check: Callable[[], None],
) -> Generator[Metrics, None, None]:
    """Trains, and gives the figures of each epoch when the classifier has its parameters.

    Close the generator to end it early: no process is left then. ``check`` is called while it
    waits, and what it raises ends the training.
    """
    started = monotonic()
    learned, validation = split(len(labels), settings.validation_share, settings.seed)
    if len(learned) < settings.processes:
        raise InvalidArguments(
            "processes", f"{len(learned)} rows are too few for {settings.processes} processes"
        )
    classifier.fit_to(features[learned], labels)
    scaled, places = classifier.scaled(features), classifier.places(labels)
    parts = [learned[number :: settings.processes] for number in range(settings.processes)]
    rate = settings.learning_rate
    with Processes([(scaled[part], places[part]) for part in parts], check) as processes:
        for epoch in range(1, settings.epochs + 1):
            made = processes.epoch(
                classifier.parameters, rate, settings.batch_size, settings.seed + epoch
            )
            classifier.parameters = average([(part.rows, part.parameters) for part in made])
            loss, right = evaluate(classifier.parameters, scaled[validation], places[validation])
            yield {
                "epoch": epoch,
                "train_loss": sum(part.loss for part in made) / len(learned),
                "val_loss": loss / len(validation),
                "train_acc": sum(part.right for part in made) / len(learned),
                "val_acc": right / len(validation),
                "learning_rate": rate,
                "time_elapsed": round(monotonic() - started, 3),
                "memory": {
                    "worker_mb": resident_mb(),
                    "processes_mb": [part.memory_mb for part in made],
                },
            }
            rate *= settings.decay


def _invalid(why: str) -> InvalidArguments:
    return InvalidArguments("training_config", f"argument 'training_config': {why}")
