"""A small neural network in numpy: layers of rectified linear units, and a softmax at the end."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

#: Weights and biases in turn, from the first layer to the last.
Parameters = list[Array]


def initial(sizes: list[int], seed: int) -> Parameters:
    """Random parameters of a network whose layers have so many inputs, and the last one outputs."""
    random = np.random.default_rng(seed)
    parameters: Parameters = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        parameters.append(random.normal(0, np.sqrt(2 / inputs), (inputs, outputs)))
        parameters.append(np.zeros(outputs))
    return parameters


def average(parts: list[tuple[int, Parameters]]) -> Parameters:
    """The mean of parameters, each with its weight."""
    total = sum(weight for weight, _ in parts)
    columns = zip(*(parameters for _, parameters in parts))
    weights = [weight / total for weight, _ in parts]
    return [sum(w * array for w, array in zip(weights, column)) for column in columns]


def probabilities(parameters: Parameters, features: Array) -> Array:
    """Of each class, for each row of the features."""
    return _forward(parameters, features)[-1]


def evaluate(parameters: Parameters, features: Array, labels: Array) -> tuple[float, int]:
    """The sum of the losses (cross entropy), and how many labels are the most probable ones."""
    return _judge(probabilities(parameters, features), labels)


def descend(
    parameters: Parameters,
    features: Array,
    labels: Array,
    rate: float,
    batch_size: int,
    seed: int,
) -> tuple[Parameters, float, int]:
    """One epoch of gradient descent, batch by batch in random order.

    Gives the new parameters, and the losses and right labels as ``evaluate`` does, each batch
    judged before it was learned.
    """
    parameters = [array.copy() for array in parameters]
    order = np.random.default_rng(seed).permutation(len(labels))
    loss, right = 0.0, 0
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        layers = _forward(parameters, features[chosen])
        batch_loss, batch_right = _judge(layers[-1], labels[chosen])
        loss += batch_loss
        right += batch_right
        for array, gradient in zip(parameters, _gradients(parameters, layers, labels[chosen])):
            array -= rate * gradient
    return parameters, loss, right


def _forward(parameters: Parameters, features: Array) -> list[Array]:
    """The features, and what each layer makes of the one before."""
    layers = [features]
    for place in range(0, len(parameters), 2):
        values = layers[-1] @ parameters[place] + parameters[place + 1]
        if place + 2 < len(parameters):
            layers.append(np.maximum(values, 0))
        else:
            powers = np.exp(values - values.max(axis=1, keepdims=True))
            layers.append(powers / powers.sum(axis=1, keepdims=True))
    return layers


def _gradients(parameters: Parameters, layers: list[Array], labels: Array) -> Parameters:
    """Of the mean loss, by each of the parameters."""
    error = layers[-1].copy()
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    gradients: Parameters = []
    for place in range(len(parameters) - 2, -1, -2):
        inputs = layers[place // 2]
        gradients[:0] = [inputs.T @ error, error.sum(axis=0)]
        if place:
            error = (error @ parameters[place].T) * (inputs > 0)
    return gradients


def _judge(found: Array, labels: Array) -> tuple[float, int]:
    of_label = found[np.arange(len(labels)), labels]
    loss = -np.log(np.maximum(of_label, 1e-300)).sum()
    return float(loss), int((found.argmax(axis=1) == labels).sum())
