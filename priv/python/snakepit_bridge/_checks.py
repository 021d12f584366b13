"""Annotations turned into checks of values.

A check knows the exact types that pass at once, which is all that the common case costs, and a
function for all other values, which converts the value or raises Mismatch.
"""

from __future__ import annotations

import _collections_abc as abc
import sys

from ._annotations import resolve
from ._signature import UNANNOTATED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn


class Mismatch(Exception):
    """A value does not fit; ``path`` leads to it inside the argument, as in ``[3].name``."""

    def __init__(self, expected: str, value: Any, path: str = "") -> None:
        super().__init__(expected, value, path)
        self.expected = expected
        self.value = value
        self.path = path

    def inside(self, step: str) -> Mismatch:
        return Mismatch(self.expected, self.value, step + self.path)


class Check:
    """What values a parameter takes."""

    __slots__ = ("accepts", "convert", "expected")

    def __init__(
        self, expected: str, accepts: Iterable[type], convert: Callable[[Any], Any] | None = None
    ) -> None:
        self.expected = expected
        self.accepts = frozenset(accepts)
        self.convert = convert or self.refuse

    def refuse(self, value: Any) -> NoReturn:
        raise Mismatch(self.expected, value)

    def __call__(self, value: Any) -> Any:
        return value if type(value) in self.accepts else self.convert(value)


def check_for(annotation: Any, names: dict[str, Any]) -> Check | None:
    """The check that an annotation asks for; None if it says nothing that can be checked.

    ``names`` are the globals in which annotations written as text are looked up.
    """
    return _Builder(names).check(annotation)


class _Builder:
    """Makes the check of an annotation out of those of its parts."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self._pending: list[Any] = []

    def check(self, annotation: Any) -> Check | None:
        if annotation in self._pending:  # a type defined by itself, as JSON often is
            return None
        self._pending.append(annotation)
        try:
            return self._check(resolve(annotation, self._names))
        finally:
            self._pending.pop()

    def _check(self, annotation: Any) -> Check | None:
        if annotation is UNANNOTATED or isinstance(annotation, str):
            return None
        if annotation is None:
            annotation = type(None)
        if isinstance(annotation, type) and annotation in SCALARS:
            return SCALARS[annotation]
        if hasattr(annotation, "__supertype__"):  # NewType
            return self.check(annotation.__supertype__)
        if hasattr(annotation, "__metadata__"):  # Annotated
            return self.check(annotation.__origin__)
        if type(annotation).__name__ == "TypeAliasType":
            return self.check(annotation.__value__)
        return self._generic(annotation)

    def _generic(self, annotation: Any) -> Check | None:
        origin = getattr(annotation, "__origin__", annotation)
        parts: tuple[Any, ...] = getattr(annotation, "__args__", ())
        typing = sys.modules.get("typing")  # without it there can be none of its annotations
        is_union = type(annotation).__name__ in ("UnionType", "Union")  # A | B
        if is_union or (typing and origin is typing.Union):
            return _union([self.check(part) for part in parts])
        if typing and origin is typing.Literal:
            return _literal(parts)
        if not isinstance(origin, type):
            return None
        if origin is tuple and hasattr(annotation, "__args__") and parts[-1:] != (Ellipsis,):
            items = () if parts == ((),) else parts  # tuple[()] before Python 3.11
            return _fixed_tuple([self.check(item) for item in items])
        if origin in SEQUENCES:
            return _sequence(*SEQUENCES[origin], self.check(parts[0]) if parts else None)
        if origin in MAPPINGS:
            key, value = parts or (UNANNOTATED, UNANNOTATED)
            return _mapping(self.check(key), self.check(value))
        return None


def _to_float(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise Mismatch("a float (the integer is too large for one)", value) from None
    raise Mismatch("float", value)


def _to_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Mismatch("int", value)


def _to_str(value: Any) -> str:
    if isinstance(value, str):
        return value
    expected = "str (text in UTF-8)" if isinstance(value, bytes) else "str"
    raise Mismatch(expected, value)


def _to_bytes(value: Any) -> bytes:
    # A binary that is valid UTF-8 arrives as a str, whatever it was meant to be.
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise Mismatch("bytes", value)


def _to_bytearray(value: Any) -> bytearray:
    try:
        return bytearray(_to_bytes(value))
    except Mismatch:
        raise Mismatch("bytearray", value) from None


SCALARS: dict[type, Check] = {
    bool: Check("bool", [bool]),
    int: Check("int", [int], _to_int),
    float: Check("float", [float], _to_float),
    str: Check("str", [str], _to_str),
    bytes: Check("bytes", [bytes], _to_bytes),
    bytearray: Check("bytearray", [bytearray], _to_bytearray),
    type(None): Check("None", [type(None)]),
}

# Annotation: the name in messages, the types that need no conversion, what to convert to.
SEQUENCES: dict[type, tuple[str, tuple[type, ...], Callable[[Any], Any]]] = {
    list: ("list", (list,), list),
    tuple: ("tuple", (tuple,), tuple),
    set: ("set", (set,), set),
    frozenset: ("frozenset", (frozenset,), frozenset),
    abc.Sequence: ("list", (list, tuple), list),
    abc.MutableSequence: ("list", (list,), list),
    abc.Collection: ("list", (list, tuple, set, frozenset), list),
    abc.Iterable: ("list", (list, tuple, set, frozenset), list),
    abc.Set: ("set", (set, frozenset), set),
}

MAPPINGS: tuple[type, ...] = (dict, abc.Mapping, abc.MutableMapping)


def _sequence(
    name: str, types: tuple[type, ...], make: Callable[[Any], Any], element: Check | None
) -> Check:
    expected = name if element is None else f"{name} of {element.expected}"

    def convert(value: Any) -> Any:
        if not isinstance(value, (list, *types)):
            raise Mismatch(expected, value)
        items = value if element is None else _elements(value, element)
        if items is value and isinstance(value, types):
            return value
        try:
            return make(items)
        except TypeError:  # a set of lists
            raise Mismatch(f"{name} of hashable values", value) from None

    return Check(expected, types if element is None else (), convert)


def _elements(value: Any, element: Check) -> Any:
    if element.accepts.issuperset(map(type, value)):
        return value
    converted = []
    for index, item in enumerate(value):
        try:
            converted.append(element(item))
        except Mismatch as mismatch:
            raise mismatch.inside(f"[{index}]") from None
    return converted


def _fixed_tuple(elements: list[Check | None]) -> Check:
    expected = f"tuple of {len(elements)} values"

    def convert(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(elements):
            raise Mismatch(expected, value)
        items = list(value)
        for index, element in enumerate(elements):
            if element is not None:
                try:
                    items[index] = element(items[index])
                except Mismatch as mismatch:
                    raise mismatch.inside(f"[{index}]") from None
        return tuple(items)

    return Check(expected, (), convert)


def _mapping(key: Check | None, element: Check | None) -> Check:
    expected = "dict" if element is None else f"dict with values of {element.expected}"

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Mismatch(expected, value)
        if key is not None and not key.accepts.issuperset(map(type, value)):
            value = {_inside(key, name, f" key {name!r}"): item for name, item in value.items()}
        if element is not None and not element.accepts.issuperset(map(type, value.values())):
            value = {
                name: _inside(element, item, f".{name}" if isinstance(name, str) else f"[{name!r}]")
                for name, item in value.items()
            }
        return value

    return Check(expected, (dict,) if key is None and element is None else (), convert)


def _inside(check: Check, value: Any, step: str) -> Any:
    try:
        return check(value)
    except Mismatch as mismatch:
        raise mismatch.inside(step) from None


def _union(members: list[Check | None]) -> Check | None:
    """None is a member that takes everything, and so does the union."""
    checks: list[Check] = []
    for member in members:
        if member is None:
            return None
        checks.append(member)
    expected = _either([check.expected for check in checks])

    def convert(value: Any) -> Any:
        deeper = None
        for check in checks:
            try:
                return check.convert(value)
            except Mismatch as mismatch:
                deeper = deeper or (mismatch if mismatch.path else None)
        raise deeper or Mismatch(expected, value)

    return Check(expected, frozenset().union(*(check.accepts for check in checks)), convert)


def _literal(choices: tuple[Any, ...]) -> Check:
    expected = _either([repr(choice) for choice in choices])

    def convert(value: Any) -> Any:
        for choice in choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise Mismatch(expected, value)

    return Check(expected, (), convert)


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
