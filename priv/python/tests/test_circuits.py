"""The example of quantum circuits: its parser, and its simulator against known states."""

from math import cos, pi

import pytest
from support import make_call

from snakepit_bridge import Context, InvalidArguments
from snakepit_bridge._sessions import Sessions

pytest.importorskip("numpy")

from snakepit_bridge.examples import circuits
from snakepit_bridge.examples._qasm import CircuitError, Gate, Measure, parse


def run(body, **arguments):
    ctx = Context(make_call(), Sessions())
    return circuits.simulate(ctx, f'OPENQASM 3.0;\ninclude "stdgates.inc";\n{body}', **arguments)


def test_the_steps_of_a_circuit():
    circuit = parse(
        "qubit[2] q; bit[2] c; h q; rz(-pi / 4 + 2 * 0.5) q[1]; cx q[0], q[1]; c = measure q;"
    )
    assert (circuit.qubits, circuit.bits) == (2, 2)
    assert [step for step in circuit.steps if isinstance(step, Measure)] == [(0, 0), (1, 1)]
    h0, h1, rz, cx = (step for step in circuit.steps if isinstance(step, Gate))
    assert (h0, h1, cx) == (("h", 0.0, (0,)), ("h", 0.0, (1,)), ("cx", 0.0, (0, 1)))
    assert rz.angle == pytest.approx(1 - pi / 4)


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("OPENQASM 2.0;", 1, "OpenQASM 2.0 is not spoken here"),
        ("qubit[2] q;\nbit c;\nhh q[0];", 3, "unknown gate or statement 'hh'"),
        ("qubit[2] q;\n\nh q[2];", 3, r"q has 2 qubits, there is no q\[2\]"),
        ("qubit q;\nh r;", 2, "there is no qubit 'r'"),
        ("qubit q;\n/* two\nlines */ x q", 3, "expected ';', found 'the end'"),
        ("qubit q;\nqubit q;", 2, "'q' is declared twice"),
        ("qubit[21] q;", 1, "a circuit has 1 to 20 qubits, not 21"),
        ("qubit[2] q;\ncx q[0];", 2, "cx takes 2 qubits, not 1"),
        ("qubit[2] q;\ncx q[0], q[0];", 2, "cx of one qubit with itself"),
        ("qubit q;\nrx(1 / 0) q;", 2, "a division by zero"),
        ("qubit q;\nrx() q;", 2, "expected an angle"),
        ("qubit q;\nbit[2] c;\nc = measure q;", 3, "1 qubits cannot be measured into 2 bits"),
        ("qubit q; bit c;\nc = measure q;\nx q;", 3, "x of a qubit that was measured before"),
        ("qubit q; bit c;", 1, "the circuit measures nothing"),
        ("bit c;", 1, "the circuit has no qubits"),
        ("qubit q;\nx q ?;", 2, r"unexpected '\?'"),
        ("qubit q;\nrx(" + "(" * 10_000, 2, "the angle is nested too deeply"),
    ],
)
def test_what_is_no_circuit_is_told_with_its_line(body, line, message):
    with pytest.raises(CircuitError, match=f"^line {line}: {message}") as error:
        parse(body)
    assert error.value.line == line
    assert isinstance(error.value, InvalidArguments)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("qubit[2] q; bit[2] c; x q[1]; c = measure q;", {"10": 1.0}),
        ("qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;", {"00": 0.5, "11": 0.5}),
        ("qubit q; bit c; h q; z q; h q; c = measure q;", {"1": 1.0}),
        ("qubit q; bit c; h q; s q; s q; h q; c = measure q;", {"1": 1.0}),
        ("qubit q; bit c; h q; t q; t q; t q; t q; h q; measure q -> c;", {"1": 1.0}),
        ("qubit q; bit c; rx(pi) q; c = measure q;", {"1": 1.0}),
        ("qubit q; bit c; ry(1) q; c = measure q;", {"0": cos(0.5) ** 2, "1": 1 - cos(0.5) ** 2}),
        (
            "qubit q; bit c; h q; rz(1) q; h q; c = measure q;",
            {"0": cos(0.5) ** 2, "1": 1 - cos(0.5) ** 2},
        ),
        (
            "qubit[2] q; bit[2] c; h q; cz q[0], q[1]; h q[1]; c = measure q;",
            {"00": 0.5, "11": 0.5},
        ),
        ("qubit[3] q; bit[4] c; x q[2]; c[3] = measure q[2]; c[0] = measure q[0];", {"1000": 1.0}),
    ],
)
def test_counts_follow_the_probabilities(body, expected):
    shots = 20_000
    counts = run(body, shots=shots, seed=7)["counts"]
    assert set(counts) == set(expected)
    assert sum(counts.values()) == shots
    for key, probability in expected.items():
        # Five standard deviations.
        bound = 5 * (shots * probability * (1 - probability)) ** 0.5
        assert abs(counts[key] - shots * probability) <= bound


def test_a_seed_repeats_the_counts():
    body = "qubit[4] q; bit[4] c; h q; c = measure q;"
    assert run(body, seed=1) == run(body, seed=1)
    assert run(body, seed=1) != run(body, seed=2)


@pytest.mark.parametrize("shots", [0, -1, 1_000_001])
def test_shots_have_limits(shots):
    with pytest.raises(InvalidArguments, match="shots is a number from 1"):
        run("qubit q; bit c; c = measure q;", shots=shots)
