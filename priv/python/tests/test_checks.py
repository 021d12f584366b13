"""What annotations let through, what they convert and what they refuse."""

# The old spellings are under test too.
# ruff: noqa: UP006, UP035

import collections.abc
import sys
import typing
from enum import Enum
from typing import Annotated, Any, Dict, List, Literal, NewType, Optional, Tuple, TypeVar, Union

import pytest

from snakepit_bridge import InvalidArguments

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(Enum):
    RED = "red"


class Exact:
    """Equal to a value of the same type only, inside containers too: 1, 1.0 and True differ."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return repr(self.value) == repr(other)

    def __repr__(self):
        return repr(self.value)


def handler_of(annotation):
    def handler(value):
        return [value]

    handler.__annotations__["value"] = annotation
    return handler


TAKEN = [
    (bool, True, True),
    (int, 3, 3),
    (int, 10**30, 10**30),
    (float, 1.5, 1.5),
    (float, 3, 3.0),
    (str, "é", "é"),
    (bytes, b"\xff", b"\xff"),
    (bytes, "é", b"\xc3\xa9"),
    (bytearray, "a", bytearray(b"a")),
    (bytearray, b"a", bytearray(b"a")),
    (None, None, None),
    (list, [1, "a"], [1, "a"]),
    (list[int], [1, 2], [1, 2]),
    (List[int], [], []),
    (list[float], [1, 2.5], [1.0, 2.5]),
    (list[list[bytes]], [["a"], [b"b"]], [[b"a"], [b"b"]]),
    (tuple, [1, 2], (1, 2)),
    (Tuple, [1, 2], (1, 2)),
    (List, [1, "a"], [1, "a"]),
    (Dict, {1: 2}, {1: 2}),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[bytes, ...], ["a", "b"], (b"a", b"b")),
    (Tuple[()], [], ()),
    (set, [1, 1], {1}),
    (frozenset[str], ["a"], frozenset({"a"})),
    (dict, {"a": 1, 2: "b"}, {"a": 1, 2: "b"}),
    (dict[str, float], {"a": 1}, {"a": 1.0}),
    (Dict[str, List[int]], {"a": [1]}, {"a": [1]}),
    (Dict[int, str], {1: "a"}, {1: "a"}),
    (collections.abc.Sequence[float], [1], [1.0]),
    (typing.Iterable[int], [1], [1]),
    (collections.abc.Mapping[str, Any], {"a": None}, {"a": None}),
    (Optional[int], None, None),
    (Optional[float], 2, 2.0),
    (Union[int, float], 2, 2),
    (Union[float, int], 2, 2),
    (Union[bytes, str], "a", "a"),
    (Union[List[int], Dict[str, int]], {"a": 1}, {"a": 1}),
    (Union[int, Colour], "red", "red"),
    (Literal["a", 1], "a", "a"),
    (Literal["a", 1], 1, 1),
    (Annotated[float, "seconds"], 1, 1.0),
    (UserId, 7, 7),
    (Any, "x", "x"),
    (object, "x", "x"),
    (T, "x", "x"),
    (list[T], ["x"], ["x"]),
    (Colour, "red", "red"),
    (type, "x", "x"),
    ("int", 1, 1),
    (List["float"], [1], [1.0]),
    (list["float"], [1], [1.0]),
    ("int | None", None, None),
    ("list[int | str]", [1, "a"], [1, "a"]),
    ("Colour | None", "red", "red"),
    ("NotDefinedAnywhere", "x", "x"),
    ("not python", "x", "x"),
]


@pytest.mark.parametrize(("annotation", "given", "taken"), TAKEN)
def test_a_value_that_fits_is_taken(invoke, annotation, given, taken):
    assert invoke(handler_of(annotation), value=given)["result"] == [Exact(taken)]


REFUSED = [
    (bool, 1, "'value' must be bool, got int 1"),
    (int, True, "'value' must be int, got bool True"),
    (int, 1.0, "'value' must be int, got float 1.0"),
    (int, "10", "'value' must be int, got str '10'"),
    (int, None, "'value' must be int, got NoneType"),
    (float, True, "'value' must be float, got bool True"),
    (float, "1", "'value' must be float, got str '1'"),
    (float, 10**400, "too large"),
    (str, b"\xff", "must be str (text in UTF-8), got bytes b'\\xff'"),
    (str, 1, "'value' must be str, got int 1"),
    (bytes, 1, "'value' must be bytes, got int 1"),
    (bytearray, 1, "'value' must be bytearray, got int 1"),
    (None, 1, "'value' must be None, got int 1"),
    (str, "x" * 3 and b"y" * 41, "got bytes of length 41"),
    (list, "abc", "'value' must be list, got str 'abc'"),
    (list, {"a": 1}, "'value' must be list, got dict of length 1"),
    (list[int], [1, 2, "x"], "'value[2]' must be int, got str 'x'"),
    (list[int], [True], "'value[0]' must be int, got bool True"),
    (list[list[int]], [[1], [2, None]], "'value[1][1]' must be int, got NoneType"),
    (tuple[int, str], [1], "'value' must be tuple of 2 values, got list of length 1"),
    (tuple[int, str], [1, 2], "'value[1]' must be str, got int 2"),
    (Tuple[()], [1], "'value' must be"),
    (set, [[1]], "'value' must be set of hashable values"),
    (dict, [], "'value' must be dict, got list of length 0"),
    (dict[str, int], {"a": "b"}, "'value.a' must be int, got str 'b'"),
    (dict[str, int], {1: 2}, "'value key 1' must be str, got int 1"),
    (dict[int, int], {1: "b"}, "'value[1]' must be int, got str 'b'"),
    (Dict[str, List[int]], {"a": [1, "b"]}, "'value.a[1]' must be int, got str 'b'"),
    (collections.abc.Sequence[str], "abc", "'value' must be list of str, got str 'abc'"),
    (Optional[int], "x", "'value' must be int or None, got str 'x'"),
    (Union[int, str, None], 1.5, "'value' must be int, str or None, got float 1.5"),
    (Union[int, bool], "x", "'value' must be int or bool, got str 'x'"),
    (Optional[List[int]], ["x"], "'value[0]' must be int, got str 'x'"),
    (Literal["a", "b"], "c", "'value' must be 'a' or 'b', got str 'c'"),
    (Literal[1], True, "'value' must be 1, got bool True"),
    (Annotated[int, "x"], "1", "'value' must be int, got str '1'"),
    (UserId, "1", "'value' must be int, got str '1'"),
    ("int", "1", "'value' must be int, got str '1'"),
    ("int | None", "1", "'value' must be int or None, got str '1'"),
    ("list[int | None]", ["1"], "'value[0]' must be int or None, got str '1'"),
]


@pytest.mark.parametrize(("annotation", "given", "message"), REFUSED)
def test_a_value_that_does_not_fit_is_refused(invoke, annotation, given, message):
    with pytest.raises(InvalidArguments) as caught:
        invoke(handler_of(annotation), value=given)
    assert caught.value.name == "value"
    assert message in str(caught.value)


def test_a_list_that_fits_is_passed_without_a_copy(invoke):
    given = [1, 2, 3]
    assert invoke(handler_of(list[int]), value=given)["result"][0] is given


def test_a_conversion_leaves_the_given_list_alone(invoke):
    given = [1, 2.5]
    invoke(handler_of(list[float]), value=given)
    assert given == Exact([1, 2.5])


def test_a_type_defined_by_itself_is_checked_on_its_first_level(invoke):
    names = {"Union": Union, "List": List}
    names["Json"] = Union[int, List["Json"]]  # type: ignore[name-defined]  # noqa: F821
    exec("def handler(value: 'Json'):\n    return value", names)
    assert invoke(names["handler"], value=["x"]) == {"result": ["x"]}
    with pytest.raises(InvalidArguments, match="must be int or list, got str 'x'"):
        invoke(names["handler"], value="x")


def test_names_in_annotations_may_be_defined_after_the_handler(registry, dispatcher):
    from support import make_call

    from snakepit_bridge import command

    names = {"command": command}
    exec("@command\ndef late(value: 'Number'):\n    return value\nNumber = int", names)
    with pytest.raises(InvalidArguments, match="must be int"):
        dispatcher.find("late").invoke({"value": "x"}, make_call())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements came with Python 3.12")
def test_type_statements_are_looked_through(invoke):
    names: dict[str, Any] = {}
    exec(
        "type Number = int | float\n"
        "type Tree = dict[str, Tree] | Number\n"
        "def handler(value: Tree):\n    return [value]",
        names,
    )
    assert invoke(names["handler"], value={"a": {"b": 1}}) == {"result": [{"a": {"b": 1}}]}
    with pytest.raises(InvalidArguments, match=r"must be .* int or float, got str 'x'"):
        invoke(names["handler"], value="x")
