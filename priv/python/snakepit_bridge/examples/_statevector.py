"""The state of a quantum computer, simulated: 2**n amplitudes for n qubits."""

from __future__ import annotations

from math import cos, sin, sqrt
from typing import Any

import numpy as np

from ._qasm import Gate

Array = np.ndarray[Any, Any]

_FIXED = {
    "h": np.array([[1, 1], [1, -1]]) / sqrt(2),
    "x": np.array([[0, 1], [1, 0]]),
    "z": np.diag([1, -1]),
    "s": np.diag([1, 1j]),
    "t": np.diag([1, (1 + 1j) / sqrt(2)]),
}


class State:
    """All qubits are 0 at first. Qubit k is axis k of the amplitudes."""

    def __init__(self, qubits: int) -> None:
        self._amplitudes: Array = np.zeros((2,) * qubits, dtype=np.complex128)
        self._amplitudes[(0,) * qubits] = 1

    def apply(self, gate: Gate) -> None:
        *controls, target = gate.qubits
        # The part of the state in which every control is 1.
        where: list[Any] = [slice(None)] * self._amplitudes.ndim
        for control in controls:
            where[control] = slice(1, 2)
        part = self._amplitudes[tuple(where)]
        turned = np.tensordot(_matrix(gate), part, axes=([1], [target]))
        self._amplitudes[tuple(where)] = np.moveaxis(turned, 0, target)

    def probabilities(self, qubits: list[int]) -> Array:
        """Of the values of these qubits; the first is the highest digit of the index."""
        squares = np.abs(self._amplitudes) ** 2
        others = tuple(axis for axis in range(squares.ndim) if axis not in qubits)
        kept = sorted(qubits)
        marginal = squares.sum(axis=others).transpose([kept.index(qubit) for qubit in qubits])
        flat = marginal.reshape(-1)
        result: Array = flat / flat.sum()
        return result


def _matrix(gate: Gate) -> Array:
    name = gate.name.lstrip("c")
    if name in _FIXED:
        return _FIXED[name]
    c, s = cos(gate.angle / 2), sin(gate.angle / 2)
    if name == "rx":
        return np.array([[c, -1j * s], [-1j * s, c]])
    if name == "ry":
        return np.array([[c, -s], [s, c]])
    return np.diag([c - 1j * s, c + 1j * s])
