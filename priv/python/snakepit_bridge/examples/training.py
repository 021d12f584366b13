"""Training in several processes at once, shown epoch by epoch, and the use of what was trained.

Serve it with ``modules: ["snakepit_bridge.examples.training"]``. It needs numpy, and scikit-learn
for the handwritten digits that it trains on if it is given no other data:
``pip install "snakepit-bridge[examples]"``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np

from snakepit_bridge import Context, InvalidArguments, command, stream

from ._classifier import Classifier, load
from ._labelled import digits_path, read_csv
from ._network import Array
from ._train import Settings, train

Chunks = Generator[dict[str, Any], None, dict[str, Any]]


@stream
def distributed_training(
    ctx: Context,
    model_config: dict[str, Any] | None = None,
    training_config: dict[str, Any] | None = None,
    dataset_path: str | None = None,
    model_path: str | None = None,
    resume_from: str | None = None,
) -> Chunks:
    """Trains a classifier, the data spread over processes, and saves the best of its epochs.

    ``model_config``: ``architecture`` ("mlp" or "softmax"), ``layers``, ``hidden_size``, ``seed``.
    ``training_config``: ``epochs``, ``batch_size``, ``learning_rate``, ``decay`` (of the rate,
    after each epoch), ``processes``, ``validation_share``, ``seed``. ``dataset_path``: a CSV file
    of numbers without a header, its last column the label; handwritten digits if not given.
    ``model_path``: where to save; a new directory if not given. ``resume_from``: a saved model to
    go on with, in place of ``model_config``.

    In each epoch every process descends on its part of the data, from the same parameters; then
    their means are the parameters of the next. Chunks have ``epoch``, ``train_loss``,
    ``train_acc``, ``val_loss``, ``val_acc``, ``learning_rate``, ``time_elapsed`` (in seconds),
    ``memory`` (``worker_mb`` and ``processes_mb``), ``gpu_memory`` (empty: none is in use) and
    ``checkpoint_path``: the best model so far, saved before the chunk is sent.

    The final chunk has ``final_model_path``, ``total_epochs`` and ``best_val_accuracy``, also as
    ``best_val_acc``. A training that is ended early leaves its checkpoint, and no process.
    """
    settings = Settings.of(training_config or {})
    classifier, facts = Classifier(model_config or {}), {"epoch": 0, "val_acc": -1.0}
    if resume_from is not None:
        classifier, facts = load(resume_from)
    features, labels = read_csv(dataset_path or digits_path())
    path = model_path or os.path.join(tempfile.mkdtemp(prefix="training-"), "model.npz")
    if resume_from is not None:
        classifier.save(path, **facts)
    epoch, best = facts["epoch"], facts["val_acc"]
    with closing(train(classifier, features, labels, settings, ctx.check_cancelled)) as epochs:
        for metrics in epochs:
            epoch += 1
            if metrics["val_acc"] > best:
                best = metrics["val_acc"]
                classifier.save(path, epoch=epoch, val_acc=best)
            yield {**metrics, "epoch": epoch, "gpu_memory": {}, "checkpoint_path": path}
    return {
        "final_model_path": path,
        "total_epochs": epoch,
        "best_val_accuracy": best,
        "best_val_acc": best,
    }


@command
def initialize_model(
    ctx: Context,
    architecture: str = "mlp",
    layers: int = 1,
    hidden_size: int = 64,
    seed: int = 0,
) -> dict[str, Any]:
    """Makes the model of the session, which ``train_model`` trains and ``predict`` asks."""
    config = {
        "architecture": architecture,
        "layers": layers,
        "hidden_size": hidden_size,
        "seed": seed,
    }
    ctx.session["model"] = Classifier(config)
    return {"initialized": True, **config}


@stream
def train_model(
    ctx: Context,
    features: list[list[float]] | None = None,
    labels: list[int] | list[str] | None = None,
    dataset_path: str | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    learning_rate: float = 0.1,
    processes: int = 2,
) -> Chunks:
    """Trains the model of the session, on rows of numbers and their labels, or on a CSV file.

    May be called again to train it further. Chunks are those of ``distributed_training``, with
    ``loss``, the one of training; the final chunk has ``total_epochs`` and ``best_val_accuracy``.
    A training that is ended early leaves the model as its last epoch made it.
    """
    classifier = _model_of(ctx)
    if features is None:
        rows, classes = read_csv(dataset_path or digits_path())
    else:
        rows, classes = _rows(features), np.array(labels if labels is not None else [])
        if len(rows) != len(classes):
            raise InvalidArguments("labels", "argument 'labels': one for each row of 'features'")
    settings = Settings.of(
        {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "processes": processes,
        }
    )
    best = 0.0
    with closing(train(classifier, rows, classes, settings, ctx.check_cancelled)) as trained:
        for metrics in trained:
            best = max(best, metrics["val_acc"])
            yield {**metrics, "loss": metrics["train_loss"]}
    return {"total_epochs": epochs, "best_val_accuracy": best}


@command
def predict(
    ctx: Context, features: list[list[float]], model_path: str | None = None
) -> dict[str, Any]:
    """The most probable label of each row (``predictions``) and its probability (``confidences``).

    Asks the model of the session, or one that was saved.
    """
    classifier = _model_of(ctx) if model_path is None else load(model_path)[0]
    rows = _rows(features)
    if not classifier.trained:
        raise InvalidArguments("features", "the model of this session is not trained yet")
    if rows.shape[1] != len(classifier.mean):
        raise InvalidArguments(
            "features", f"argument 'features': {len(classifier.mean)} numbers in each row"
        )
    predictions, confidences = classifier.predict(rows)
    return {"predictions": predictions, "confidences": confidences}


def _model_of(ctx: Context) -> Classifier:
    model = ctx.session.get("model")
    if not isinstance(model, Classifier):
        raise InvalidArguments("model", "call 'initialize_model' in this session first")
    return model


def _rows(features: list[list[float]]) -> Array:
    if not features or len({len(row) for row in features}) != 1:
        raise InvalidArguments("features", "argument 'features': rows of the same length")
    return np.array(features, dtype=np.float64)
