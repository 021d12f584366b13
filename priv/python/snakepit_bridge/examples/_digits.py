"""Handwritten digits: 1,797 images of 8 by 8 from the UCI archive, which come with scikit-learn."""

from __future__ import annotations

import os
import pickle
from typing import Any

from ._replacing import replacing

#: The digits have 17 shades of grey, PNG has 256. So 16 becomes 240, and nothing is rounded.
SHADES = 15


def split() -> tuple[Any, Any, Any, Any]:
    """Grey values to train on and to test with, and the labels of both; always the same."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        images * SHADES, labels, test_size=0.2, random_state=0, stratify=labels
    )
    return tuple(parts)


def train(directory: str) -> str:
    """The path of a model in the directory, which is trained if it is not there."""
    import sklearn
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Another version may not understand it.
    path = os.path.join(directory, f"digits-{sklearn.__version__}.pkl")
    if not os.path.exists(path):
        images, _, labels, _ = split()
        network = MLPClassifier(hidden_layer_sizes=(64,), max_iter=400, random_state=0)
        model = make_pipeline(StandardScaler(), network).fit(images, labels)
        with replacing(path) as file:
            pickle.dump(model, file)
    return path


def write_images(directory: str) -> tuple[list[str], list[int]]:
    """The paths of the images to test with, which are written if they are not there, and their
    labels."""
    from PIL import Image

    os.makedirs(directory, exist_ok=True)
    _, images, _, labels = split()
    paths = []
    for index, pixels in enumerate(images):
        path = os.path.join(directory, f"image_{index:03}.png")
        if not os.path.exists(path):
            image = Image.frombytes("L", (8, 8), pixels.astype("uint8").tobytes())
            with replacing(path) as file:
                image.save(file, format="PNG")
        paths.append(path)
    return paths, labels.tolist()
