"""A subset of OpenQASM 3, read into the steps of a circuit.

Declarations of qubits and bits, the gates h, x, z, s, t, rx, ry, rz, cx and cz, and measurements; a
gate or a measurement of a whole register is one of each of its qubits.
"""

from __future__ import annotations

import re
from math import pi
from typing import NamedTuple, NoReturn, Union

from snakepit_bridge import InvalidArguments

#: For each gate: how many angles and how many qubits it takes.
GATES = {
    **dict.fromkeys(("h", "x", "z", "s", "t"), (0, 1)),
    **dict.fromkeys(("rx", "ry", "rz"), (1, 1)),
    **dict.fromkeys(("cx", "cz"), (0, 2)),
}
#: The state of so many qubits takes 16 MiB, and each one more doubles it.
MOST_QUBITS = 20
#: Parentheses within parentheses.
MOST_DEPTH = 50


class CircuitError(InvalidArguments):
    """The text is no circuit: the message says where, and why."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__("circuit", f"line {line}: {message}")
        self.line = line


class Gate(NamedTuple):
    name: str
    angle: float
    qubits: tuple[int, ...]


class Measure(NamedTuple):
    qubit: int
    bit: int


Step = Union[Gate, Measure]


class Circuit(NamedTuple):
    qubits: int
    bits: int
    steps: list[Step]


class _Token(NamedTuple):
    text: str
    line: int


_TOKENS = re.compile(
    r"""(?P<skip> \s+ | //[^\n]* | /\*.*?\*/ )
      | (?P<token> "[^"\n]*" | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? | \w+ | ->
                 | [\[\](),;=+\-*/] )""",
    re.VERBOSE | re.DOTALL,
)


def parse(text: str) -> Circuit:
    """Raises CircuitError for what is not of the subset."""
    return _Parser(_tokens(text)).circuit()


def _tokens(text: str) -> list[_Token]:
    tokens, at, line = [], 0, 1
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            raise CircuitError(line, f"unexpected {text[at]!r}")
        if match["token"] is not None:
            tokens.append(_Token(match["token"], line))
        line += match[0].count("\n")
        at = match.end()
    return [*tokens, _Token("", line)]


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        # Name to the numbers of its members.
        self._qubits: dict[str, range] = {}
        self._bits: dict[str, range] = {}
        self._measured: set[int] = set()
        self._steps: list[Step] = []
        self._depth = 0

    def circuit(self) -> Circuit:
        while self._peek():
            self._statement()
        qubits, bits = _count(self._qubits), _count(self._bits)
        if qubits == 0:
            self._fail("the circuit has no qubits")
        if not self._measured:
            self._fail("the circuit measures nothing")
        return Circuit(qubits, bits, self._steps)

    # -- statements

    def _statement(self) -> None:
        word = self._next()
        if word == "OPENQASM":
            version = self._next()
            if version.partition(".")[0] != "3":
                self._fail(f"OpenQASM {version} is not spoken here, only 3", -1)
        elif word == "include":
            self._next()
        elif word in ("qubit", "bit"):
            self._declare(word)
        elif word in GATES:
            self._gate(word)
        elif word in self._bits:
            self._at -= 1
            bits = self._operand(self._bits, "bit")
            self._expect("=")
            self._expect("measure")
            self._measure(self._operand(self._qubits, "qubit"), bits)
        elif word == "measure":
            qubits = self._operand(self._qubits, "qubit")
            self._expect("->")
            self._measure(qubits, self._operand(self._bits, "bit"))
        else:
            self._fail(f"unknown gate or statement {word!r}", -1)
        self._expect(";")

    def _declare(self, kind: str) -> None:
        size = self._index() if self._peek() == "[" else 1
        name = self._next()
        if not name.isidentifier() or name in GATES:
            self._fail(f"{name!r} is no name for a register", -1)
        if name in self._qubits or name in self._bits:
            self._fail(f"{name!r} is declared twice", -1)
        registers = self._qubits if kind == "qubit" else self._bits
        first = _count(registers)
        if size < 1 or first + size > MOST_QUBITS:
            self._fail(f"a circuit has 1 to {MOST_QUBITS} {kind}s, not {first + size}", -1)
        registers[name] = range(first, first + size)

    def _gate(self, name: str) -> None:
        angles, count = GATES[name]
        angle = 0.0
        if angles:
            self._expect("(")
            angle = self._sum()
            self._expect(")")
        operands = [self._operand(self._qubits, "qubit")]
        while self._peek() == ",":
            self._next()
            operands.append(self._operand(self._qubits, "qubit"))
        if len(operands) != count:
            self._fail(f"{name} takes {count} qubits, not {len(operands)}")
        length = max(len(operand) for operand in operands)
        if any(len(operand) not in (1, length) for operand in operands):
            self._fail(f"{name} of registers of different lengths")
        for n in range(length):
            qubits = tuple(operand[n if len(operand) > 1 else 0] for operand in operands)
            if len(set(qubits)) < count:
                self._fail(f"{name} of one qubit with itself")
            if not self._measured.isdisjoint(qubits):
                self._fail(f"{name} of a qubit that was measured before")
            self._steps.append(Gate(name, angle, qubits))

    def _measure(self, qubits: range, bits: range) -> None:
        if len(qubits) != len(bits):
            self._fail(f"{len(qubits)} qubits cannot be measured into {len(bits)} bits")
        for qubit, bit in zip(qubits, bits):
            self._measured.add(qubit)
            self._steps.append(Measure(qubit, bit))

    def _operand(self, registers: dict[str, range], kind: str) -> range:
        name = self._next()
        if name not in registers:
            self._fail(f"there is no {kind} {name!r}", -1)
        register = registers[name]
        if self._peek() != "[":
            return register
        index = self._index()
        if index >= len(register):
            self._fail(f"{name} has {len(register)} {kind}s, there is no {name}[{index}]", -1)
        return register[index : index + 1]

    def _index(self) -> int:
        self._expect("[")
        text = self._next()
        if not text.isdecimal():
            self._fail(f"expected a whole number, found {text!r}", -1)
        self._expect("]")
        return int(text)

    # -- angles

    def _sum(self) -> float:
        value = self._product()
        while self._peek() in ("+", "-"):
            sign = 1 if self._next() == "+" else -1
            value += sign * self._product()
        return value

    def _product(self) -> float:
        value = self._factor()
        while self._peek() in ("*", "/"):
            if self._next() == "*":
                value *= self._factor()
                continue
            divisor = self._factor()
            if divisor == 0:
                self._fail("a division by zero", -1)
            value /= divisor
        return value

    def _factor(self) -> float:
        sign = 1
        while self._peek() in ("+", "-"):
            sign = -sign if self._next() == "-" else sign
        text = self._next()
        if text == "(":
            self._depth += 1
            if self._depth > MOST_DEPTH:
                self._fail("the angle is nested too deeply", -1)
            value = self._sum()
            self._depth -= 1
            self._expect(")")
        elif text in ("pi", "π"):
            value = pi
        elif text[:1].isdecimal() or text[:1] == ".":
            value = float(text)
        else:
            self._fail(f"expected an angle, found {text!r}", -1)
        return sign * value

    # -- tokens

    def _peek(self) -> str:
        return self._tokens[self._at].text

    def _next(self) -> str:
        token = self._tokens[self._at]
        if token.text == "":
            self._fail("the circuit ends in the middle of a statement")
        self._at += 1
        return token.text

    def _expect(self, text: str) -> None:
        if self._peek() != text:
            self._fail(f"expected {text!r}, found {self._peek() or 'the end'!r}")
        self._at += 1

    def _fail(self, message: str, back: int = 0) -> NoReturn:
        raise CircuitError(self._tokens[self._at + back].line, message)


def _count(registers: dict[str, range]) -> int:
    return sum(len(register) for register in registers.values())
