"""Values as JSON, with forms for what JSON has none.

Bytes are ``{"__bytes__": "<base64>"}``, and floats that are no numbers ``{"__float__": "nan"}``,
``"infinity"`` or ``"neg_infinity"``; with ``forms=False``, for peers that know neither, both are
refused. Keys become strings. The rest is as in MessagePack: scalars of numpy are numbers, dates and
times ISO 8601 strings, tuples lists; what has no form is refused with its path.
"""

from __future__ import annotations

import binascii
import json
import math
import sys
from typing import Any

from ._failure import Refused, described

#: Values nested deeper than this are refused.
MAX_DEPTH = 256

#: Of larger integers Python makes no text, so that nobody can have it work on one for hours.
_MAX_BITS = 14_000

_FLOATS = {"nan": math.nan, "infinity": math.inf, "neg_infinity": -math.inf}


class _Problem(Exception):
    """Gathers the path while it returns through the walk, so that a value without an error pays
    nothing for it."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self.path = ""

    def at(self, step: str) -> _Problem:
        self.path = step + self.path
        return self


def dumps(value: Any, root: str = "value", *, forms: bool = True) -> bytes:
    """One value. Raises Refused, which names the path from ``root`` on."""
    try:
        return (_WITH_FORMS if forms else _PLAIN).encode(value).encode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # what it does not take, or says nothing useful about
    try:
        return _PLAIN.encode(_plain(value, forms, 0)).encode()
    except _Problem as problem:
        raise Refused("encoding", f"{root}{problem.path}: {problem.problem}") from None


def loads(data: bytes | str) -> Any:
    """The value of a text with the forms. Raises ValueError, also for what is nested too deep."""
    has_forms = b"__" in data if isinstance(data, bytes) else "__" in data
    try:
        return json.loads(data, object_hook=_formed if has_forms else None)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def _formed(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        text = found.get("__bytes__")
        if isinstance(text, str):
            try:
                return binascii.a2b_base64(text)
            except ValueError:
                return found
        name = found.get("__float__")
        if isinstance(name, str):
            return _FLOATS.get(name, found)
    return found


def _default(value: Any) -> Any:
    """For the encoder: what stands for an object that it does not know."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"__bytes__": binascii.b2a_base64(value, newline=False).decode("ascii")}
    return _known(value)


def _known(value: Any) -> Any:
    """A date, a time or a scalar of numpy as JSON has it. Raises TypeError for all else."""
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


_WITH_FORMS = json.JSONEncoder(
    ensure_ascii=False,
    check_circular=False,
    allow_nan=False,
    separators=(",", ":"),
    default=_default,
)
_PLAIN = json.JSONEncoder(
    ensure_ascii=False,
    check_circular=False,
    allow_nan=False,
    separators=(",", ":"),
    default=_known,
)


def _plain(value: Any, forms: bool, depth: int) -> Any:
    """The value in types that every encoder takes. Raises _Problem."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise _Problem(f"an integer of {value.bit_length()} bits is too large for JSON")
        return int(value)
    if isinstance(value, float):
        return _float(float(value), forms)
    if isinstance(value, (bytes, bytearray, memoryview)):
        if forms:
            return _default(value)
        raise _Problem("bytes inside of other values cannot be sent as JSON")
    if isinstance(value, dict):
        depth = _inside(depth)
        return {_key(key): _at(f".{key}", item, forms, depth) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        depth = _inside(depth)
        return [_at(f"[{index}]", item, forms, depth) for index, item in enumerate(value)]
    try:
        return _plain(_known(value), forms, depth)
    except TypeError:
        raise _Problem(f"{described(value)} cannot be sent to Elixir") from None


def _at(step: str, value: Any, forms: bool, depth: int) -> Any:
    try:
        return _plain(value, forms, depth)
    except _Problem as problem:
        raise problem.at(step) from None


def _inside(depth: int) -> int:
    if depth < MAX_DEPTH:
        return depth + 1
    raise _Problem(
        f"values nested more than {MAX_DEPTH} deep cannot be sent; does it contain itself?"
    )


def _float(value: float, forms: bool) -> Any:
    if math.isfinite(value):
        return value
    if not forms:
        raise _Problem(f"the float {value} cannot be sent as JSON")
    if value != value:
        return {"__float__": "nan"}
    return {"__float__": "infinity" if value > 0 else "neg_infinity"}


def _key(key: Any) -> Any:
    if key is None or isinstance(key, (str, int, float)):
        return _text(key) if isinstance(key, str) else key
    try:
        return str(_known(key))
    except TypeError:
        raise _Problem(f"the key {key!r} is {described(key)}, which JSON has no text for") from None


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Problem("a str with surrogates cannot be sent as UTF-8") from None
    return str.__str__(text)
