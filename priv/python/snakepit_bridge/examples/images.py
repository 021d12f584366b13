"""A model looks at images, and each result is there as soon as it is found.

Serve it with ``modules: ["snakepit_bridge.examples.images"]``. It needs scikit-learn and Pillow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from typing import Any

from snakepit_bridge import InvalidArguments, command, stream

from ._digits import train, write_images
from ._model import Model


@command
def digits(directory: str) -> dict[str, Any]:
    """Trains a model on handwritten digits, unless the directory has one already.

    A fifth of the 1,797 digits that come with scikit-learn is kept from the model and written to
    ``directory/digits`` as PNG files. Returns ``model_path``, ``image_paths`` and ``labels``: for
    each image the digit that it shows.
    """
    os.makedirs(directory, exist_ok=True)
    paths, labels = write_images(os.path.join(directory, "digits"))
    return {"model_path": train(directory), "image_paths": paths, "labels": labels}


@stream
def batch_inference(
    model_path: str,
    image_paths: list[str] | str | None = None,
    batch_items: list[str] | None = None,
) -> Generator[dict[str, Any], None, dict[str, Any]]:
    """Asks a model what is on each of the images, and gives the answers one by one.

    ``model_path`` is a pickled classifier of scikit-learn whose features are the grey values (0 to
    255) of a square image; images of another size or in colour are made like that. Loading it
    runs code that is in the file, so it must come from somebody you trust. The images are
    ``image_paths``, a list or its JSON, or ``batch_items``.

    Chunks have ``image_index`` (from 0), ``item`` and ``image_path`` (as they were given),
    ``prediction`` (a class of the model) and ``confidence`` (in percent). An image that cannot be
    read has ``error`` in place of the last two, and the others go on.

    The final chunk has ``total_processed``, ``failed`` (how many of them could not be read) and
    ``batch_complete`` (true).
    """
    paths = _paths(image_paths, batch_items)
    model = Model.load(model_path)
    failed = 0
    for index, path in enumerate(paths):
        chunk: dict[str, Any] = {"image_index": index, "item": path, "image_path": path}
        try:
            chunk["prediction"], chunk["confidence"] = model.look_at(path)
        except OSError as error:
            failed += 1
            chunk["error"] = str(error)
        yield chunk
    return {"total_processed": len(paths), "failed": failed, "batch_complete": True}


def _paths(image_paths: list[str] | str | None, batch_items: list[str] | None) -> list[str]:
    if (image_paths is None) == (batch_items is None):
        raise InvalidArguments(
            "image_paths", "give the images either as 'image_paths' or as 'batch_items'"
        )
    if batch_items is not None:
        return batch_items
    # The text form is what early callers sent, whose arguments were all texts.
    paths = _decoded(image_paths) if isinstance(image_paths, str) else image_paths
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise InvalidArguments(
            "image_paths", "argument 'image_paths' must be a list of paths, or the JSON of one"
        )
    return paths


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
