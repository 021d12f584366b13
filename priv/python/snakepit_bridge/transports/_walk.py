"""Turns a value into one that an encoder takes, or says which part of it has no form, and where.

Slow, and so only for what the encoders do not take by themselves.
"""

from __future__ import annotations

import sys

from .. import _arrays
from ._failure import Refused, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Form(Protocol):
        """What the format has for values that not every format has. May raise Problem."""

        def integer(self, value: int) -> Any: ...

        def float(self, value: float) -> Any: ...

        def bytes(self, value: Any) -> Any: ...

        def array(self, value: Any) -> Any:
            """Raises TypeError for what is none, and ValueError for one of no numbers."""

        def key(self, key: Any) -> Any:
            """The key of a dict; raises TypeError for what cannot be one."""


#: Values nested deeper than this are refused.
MAX_DEPTH = 256

#: The form of an array: a map, its list, and the list of sizes.
_ARRAY_DEPTH = 3


class Problem(Exception):
    """Gathers the path while it returns through the walk, so that a value without an error pays
    nothing for it."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self.path = ""

    def at(self, step: str) -> Problem:
        self.path = step + self.path
        return self


def walk(value: Any, form: Form, root: str) -> Any:
    """Raises Refused, which names the path from ``root`` on."""
    try:
        return _walk(value, form, 0)
    except Problem as problem:
        raise Refused("encoding", f"{root}{problem.path}: {problem.problem}") from None


def known(value: Any) -> Any:
    """What a date, a time or a scalar of numpy travels as. Raises TypeError for all else."""
    datetime = sys.modules.get("datetime")  # not imported: then nothing can be of its types
    if datetime is not None and isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        item = value.item()
        # That of an extended float is of the same type again.
        if type(item) is not type(value):
            return item
    raise TypeError


def is_binary(value: Any) -> bool:
    """Whether it is bytes, and not an array."""
    return isinstance(value, (bytes, bytearray)) or (
        isinstance(value, memoryview) and _arrays.is_bytes(value)
    )


def array(value: Any, binary: Callable[[memoryview], Any]) -> dict[str, Any]:
    """The form of an array. Raises TypeError for what is none, ValueError for one of no numbers."""
    parts = _arrays.take(value)
    if parts is None:
        raise TypeError
    shape, dtype, items = parts
    return {_arrays.KEY: [list(shape), dtype, binary(items)]}


def text(value: str) -> str:
    """A str as it is. Raises Problem for one with surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Problem("a str with surrogates cannot be sent as UTF-8") from None
    return str.__str__(value)


def _walk(value: Any, form: Form, depth: int) -> Any:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return form.integer(int(value))
    if isinstance(value, float):
        return form.float(float(value))
    if is_binary(value):
        return form.bytes(value)
    if isinstance(value, dict):
        depth = _inside(depth)
        return {_key(key, form): _at(f".{key}", item, form, depth) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        depth = _inside(depth)
        return [_at(f"[{index}]", item, form, depth) for index, item in enumerate(value)]
    try:
        plain = known(value)
    except TypeError:
        return _array(value, form, depth)
    return _walk(plain, form, depth)


def _array(value: Any, form: Form, depth: int) -> Any:
    try:
        if depth + _ARRAY_DEPTH <= MAX_DEPTH:
            return form.array(value)
    except TypeError:
        raise Problem(f"{described(value)} cannot be sent to Elixir") from None
    except ValueError as error:
        raise Problem(str(error)) from None
    raise _too_deep()


def _at(step: str, value: Any, form: Form, depth: int) -> Any:
    try:
        return _walk(value, form, depth)
    except Problem as problem:
        raise problem.at(step) from None


def _key(key: Any, form: Form) -> Any:
    try:
        return form.key(key)
    except TypeError:
        raise Problem(f"the key {key!r} is {described(key)}, which cannot be a key there") from None


def _inside(depth: int) -> int:
    if depth < MAX_DEPTH:
        return depth + 1
    raise _too_deep()


def _too_deep() -> Problem:
    return Problem(
        f"values nested more than {MAX_DEPTH} deep cannot be sent; does it contain itself?"
    )
