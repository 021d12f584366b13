"""Quantum circuits, run on a small simulator: work for a batch of jobs.

Serve it with ``modules: ["snakepit_bridge.examples.circuits"]``. It needs numpy:
``pip install "snakepit-bridge[examples]"``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from snakepit_bridge import Context, InvalidArguments, command

from ._qasm import Gate, parse
from ._statevector import State

MOST_SHOTS = 1_000_000


@command
def simulate(
    ctx: Context, circuit: str, shots: int = 1_024, seed: int | None = None
) -> dict[str, Any]:
    """Runs a circuit in OpenQASM 3 and counts what is measured.

    The keys of ``counts`` are the bits in the order of a binary number, the last one first; a bit
    that nothing was measured into is 0. With the same ``seed`` the counts are the same.

    Raises CircuitError, which names the line, for what is no circuit.
    """
    if not 1 <= shots <= MOST_SHOTS:
        raise InvalidArguments("shots", f"shots is a number from 1 to {MOST_SHOTS}, not {shots}")
    qubits, bits, steps = parse(circuit)
    state = State(qubits)
    # The last measurement into a bit is the one that counts.
    measured: dict[int, int] = {}
    for done, step in enumerate(steps, start=1):
        ctx.check_cancelled()
        if isinstance(step, Gate):
            state.apply(step)
        else:
            measured[step.bit] = step.qubit
        ctx.progress(done / len(steps))

    sources = list(dict.fromkeys(measured.values()))
    drawn = np.random.default_rng(seed).multinomial(shots, state.probabilities(sources))
    counts: dict[str, int] = {}
    for value in drawn.nonzero()[0]:
        digits = dict(zip(sources, format(value, f"0{len(sources)}b")))
        key = "".join(digits.get(measured.get(bit, -1), "0") for bit in reversed(range(bits)))
        counts[key] = int(drawn[value])
    return {"counts": counts, "shots": shots, "qubits": qubits}
