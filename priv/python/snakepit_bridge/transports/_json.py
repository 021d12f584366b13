"""Values as JSON, with forms for what JSON has none.

Bytes are ``{"__bytes__": "<base64>"}``, floats that are no numbers ``{"__float__": "nan"}``,
``"infinity"`` or ``"neg_infinity"``, arrays ``{"__array__": [shape, dtype, bytes]}``; with
``forms=False``, for peers that know none of this, they are refused. Keys become strings. The rest
is as in MessagePack: scalars of numpy are numbers, dates and times ISO 8601 strings, tuples lists;
what has no form is refused with its path.
"""

from __future__ import annotations

import binascii
import json
import math
from typing import Any

from .. import _arrays
from ._walk import Problem, array, is_binary, known, text, walk

#: Of larger integers Python makes no text, so that nobody can have it work on one for hours.
_MAX_BITS = 14_000

_FLOATS = {"nan": math.nan, "infinity": math.inf, "neg_infinity": -math.inf}


def dumps(value: Any, root: str = "value", *, forms: bool = True) -> bytes:
    """One value. Raises Refused, which names the path from ``root`` on."""
    try:
        return (_WITH_FORMS if forms else _PLAIN).encode(value).encode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # what it does not take, or says nothing useful about
    return _PLAIN.encode(walk(value, WithForms() if forms else Plain(), root)).encode()


def loads(data: bytes | str) -> Any:
    """The value of a text with the forms. Raises ValueError, also for what is nested too deep."""
    has_forms = b"__" in data if isinstance(data, bytes) else "__" in data
    try:
        return json.loads(data, object_hook=_formed if has_forms else None)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


class Plain:
    """What every reader of JSON understands."""

    def integer(self, value: int) -> int:
        if value.bit_length() > _MAX_BITS:
            raise Problem(f"an integer of {value.bit_length()} bits is too large for JSON")
        return value

    def float(self, value: float) -> Any:
        if math.isfinite(value):
            return value
        raise Problem(f"the float {value} cannot be sent as JSON")

    def bytes(self, value: Any) -> Any:
        raise Problem("bytes inside of other values cannot be sent as JSON")

    def array(self, value: Any) -> Any:
        if _arrays.take(value) is None:
            raise TypeError
        raise Problem("an array cannot be sent as JSON; send array.tolist()")

    def key(self, key: Any) -> Any:
        if isinstance(key, str):
            return text(key)
        if key is None or isinstance(key, (int, float)):
            return key
        return str(known(key))


class WithForms(Plain):
    """With the forms that our own peer knows."""

    def float(self, value: float) -> Any:
        if math.isfinite(value):
            return value
        if value != value:
            return {"__float__": "nan"}
        return {"__float__": "infinity" if value > 0 else "neg_infinity"}

    def bytes(self, value: Any) -> Any:
        if isinstance(value, memoryview) and not value.c_contiguous:
            value = value.tobytes()
        return {"__bytes__": binascii.b2a_base64(value, newline=False).decode("ascii")}

    def array(self, value: Any) -> Any:
        return array(value, self.bytes)


def _formed(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        encoded = found.get("__bytes__")
        if isinstance(encoded, str):
            try:
                return binascii.a2b_base64(encoded)
            except ValueError:
                return found
        name = found.get("__float__")
        if isinstance(name, str):
            return _FLOATS.get(name, found)
        if _arrays.KEY in found:
            return _arrays.make(found[_arrays.KEY])
    return found


def _default(value: Any) -> Any:
    """For the encoder: what stands for an object that it does not know."""
    if is_binary(value):
        return WithForms().bytes(value)
    try:
        return known(value)
    except TypeError:
        return WithForms().array(value)


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
    default=known,
)
