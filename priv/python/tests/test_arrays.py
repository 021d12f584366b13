"""Arrays of numbers in every codec: out of Python and in again."""

import array
import ctypes
import itertools
import mmap
import os
import random
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from snakepit_bridge import EncodingError, _arrays, _native
from snakepit_bridge.transports import _json, _plain
from snakepit_bridge.transports import _pure_msgpack as pure
from snakepit_bridge.transports._failure import Refused

CODECS = {
    "native": (_native.pack, _native.unpack),
    "pure": (lambda value: pure.pack(value, "value"), lambda data: pure.unpack(data, "value")),
    "json": (_json.dumps, _json.loads),
}

#: With their names on the wire.
DTYPES = {
    "?": "bool", "u1": "u8", "u2": "u16", "u4": "u32", "u8": "u64", "i1": "s8", "i2": "s16",
    "i4": "s32", "i8": "s64", "f2": "f16", "f4": "f32", "f8": "f64", "c8": "c64", "c16": "c128",
}  # fmt: skip


@pytest.fixture(params=CODECS)
def codec(request):
    return CODECS[request.param]


@pytest.fixture
def there_and_back(codec):
    pack, unpack = codec
    return lambda value: unpack(pack([{"x": value}]))[0]["x"]


def form(shape, dtype, data):
    return {"__array__": [shape, dtype, data]}


def same(found, expected):
    """Whether both are arrays of the same shape, type and bits."""
    little = expected.dtype.newbyteorder("<")
    return (
        type(found) is np.ndarray
        and found.dtype == little
        and found.shape == expected.shape
        and found.tobytes() == expected.astype(little).tobytes()
    )


@pytest.mark.parametrize("code", DTYPES)
def test_every_dtype_and_layout_comes_back(there_and_back, code):
    cube = np.arange(24).reshape(2, 3, 4).astype(code)
    for value in [
        cube,
        cube.astype(cube.dtype.newbyteorder(">")),
        np.asfortranarray(cube),
        cube[::-1, :, ::2],
        cube.T,
        np.array(1, code),
        np.zeros((0, 3), code),
        np.zeros(0, code),
        np.broadcast_to(cube[0, 0], (5, 4)),
    ]:
        assert same(there_and_back(value), value)


def test_arrays_at_random_come_back(there_and_back):
    chance = random.Random(7)
    for _ in range(300):
        shape = [chance.randrange(5) for _ in range(chance.randrange(5))]
        value = np.frombuffer(chance.randbytes(5**5 * 16), chance.choice([*DTYPES][1:]))
        value = value[: int(np.prod(shape, dtype=int))].reshape(shape)
        value = value.transpose(chance.sample(range(len(shape)), len(shape)))
        if shape:
            value = value[:: chance.choice([-1, 1, 2])]
        assert same(there_and_back(value), value)


@pytest.mark.parametrize(("code", "name"), DTYPES.items())
def test_the_form_on_the_wire(code, name):
    value = np.arange(6).reshape(2, 3).astype(code)
    expected = form([2, 3], name, value.tobytes())
    for pack, _ in (CODECS["native"], CODECS["pure"]):
        assert pack(value) == pure.pack(expected, "value")
    text = _json.dumps(value)
    assert text == _json.dumps(expected)
    assert text.startswith(b'{"__array__":[[2,3],"%b",{"__bytes__":"' % name.encode())


def test_bfloat16(there_and_back):
    value = np.array([[1.0], [-2.5]], ml_dtypes.bfloat16)
    assert _native.pack(value) == _native.pack(form([2, 1], "bf16", value.tobytes()))
    found = there_and_back(value)
    assert found.dtype == ml_dtypes.bfloat16
    assert (found == value).all()


@pytest.mark.parametrize("shape", [[2], [1, 2], []])
def test_bfloat16_without_its_package_is_float32(monkeypatch, shape):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    value = np.array([1.0, -2.5] if shape else -2.5, ml_dtypes.bfloat16).reshape(shape)
    found = _native.unpack(_native.pack(value))
    assert same(found, value.astype("f4"))
    assert not found.flags.writeable


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (array.array("f", [1, 2]), np.array([1, 2], "f4")),
        (array.array("B", b"ab"), np.array([97, 98], "u1")),
        (array.array("d"), np.array([], "f8")),
        (memoryview(b"12345678").cast("q"), np.frombuffer(b"12345678", "i8")),
        (memoryview(b"123456").cast("B", [2, 3]), np.frombuffer(b"123456", "u1").reshape(2, 3)),
        (memoryview(array.array("h", range(6)))[::2], np.array([0, 2, 4], "i2")),
        ((ctypes.c_double * 2 * 3)(), np.zeros((3, 2))),
        ((ctypes.c_uint32.__ctype_be__ * 2)(1, 2), np.array([1, 2], "u4")),
        (np.zeros(3, "c8").data, np.zeros(3, "c8")),
        (np.arange(3, dtype=">c16").data, np.arange(3, dtype="c16")),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_whatever_has_the_buffer_protocol_is_an_array(there_and_back, value, expected):
    assert same(there_and_back(value), expected)


def test_a_map_of_memory_is_an_array_of_bytes(there_and_back):
    with mmap.mmap(-1, 10) as value:
        assert same(there_and_back(value), np.zeros(10, "u1"))


@pytest.mark.parametrize(
    "value",
    [
        b"ab",
        bytearray(b"ab"),
        memoryview(b"ab"),
        memoryview(b"ab").cast("c"),
        memoryview(b"a b")[::2],
    ],
    ids=["bytes", "bytearray", "memoryview", "of characters", "of every other byte"],
)
def test_bytes_are_no_array(there_and_back, value):
    found = there_and_back(value)
    assert type(found) is bytes
    assert found == b"ab"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([object()]), "an array of dtype object cannot be sent to Elixir; send array.to"),
        (np.array(["text"]), "an array of dtype <U4 cannot be sent to Elixir; send array.tolist()"),
        (np.array([b"x"]), "an array of dtype |S1 cannot be sent to Elixir; send array.tolist()"),
        (np.zeros(2, "M8[s]"), 'dtype datetime64[s] cannot be sent to Elixir; send array.astype("'),
        (np.zeros(2, "m8[D]"), 'dtype timedelta64[D] cannot be sent to Elixir; send array.astype'),
        (np.zeros(2, "f4,i4"), "('f1', '<i4')] cannot be sent to Elixir; send its fields one by"),
        (np.zeros(2, "g"), "cannot be sent to Elixir; convert it with array.astype()"),
        (np.zeros(2, ml_dtypes.float8_e5m2), "float8_e5m2 cannot be sent to Elixir; convert it"),
        (np.ma.zeros(2), "a masked array cannot be sent to Elixir; send array.filled()"),
        (array.array("u", "ab"), "items of the format 'w' cannot be sent to Elixir"),
        ((ctypes.c_char_p * 1)(), "items of the format '<z' cannot be sent to Elixir"),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_what_is_no_array_of_numbers_is_refused_with_its_place(codec, value, message):
    with pytest.raises((EncodingError, Refused)) as refused:
        codec[0]({"a": [value]})
    text = getattr(refused.value, "message", str(refused.value))
    assert text.startswith("value.a[0]: ")
    assert message in text


@pytest.mark.parametrize(
    "other",
    [
        1,
        [],
        [[2], "f32"],
        [[2], "f32", b"1234"],
        [[2], "f33", b"12345678"],
        [[2.0], "f32", b"12345678"],
        [[-1], "u8", b""],
        [[True], "u8", b"\xff"],
        [[1], "u8", "text"],
        [2, "f32", b"12345678"],
        [[1], ["u8"], b"\xff"],
    ],
    ids=repr,
)
def test_a_dict_that_says_something_else_is_a_dict(there_and_back, other):
    assert there_and_back({"__array__": other}) == {"__array__": other}


def test_the_form_is_alone_in_its_dict(there_and_back):
    more = {"__array__": [[1], "u8", b"\xff"], "more": 1}
    assert there_and_back(more) == more


def test_what_comes_in_is_no_copy_and_cannot_be_written_to():
    data = bytes(1000)
    found = _arrays.make([[10, 100], "u8", data])
    assert found.base is data
    assert not found.flags.writeable
    with pytest.raises(ValueError):
        found[0] = 1


def test_what_goes_out_is_no_copy():
    for value in [np.zeros((3, 4), "f4"), array.array("d", [1]), np.zeros(3, ml_dtypes.bfloat16)]:
        shape, _, items = _arrays.take(value)
        again = np.frombuffer(items, "u1")
        assert np.shares_memory(again, np.frombuffer(np.asarray(value).view("u1").data, "u1"))
        assert tuple(shape) == np.asarray(value).shape


def test_arrays_that_numpy_cannot_hold_are_errors(codec):
    for shape in ([1] * 100, [0, 2**63]):
        sent = codec[0](form(shape, "u8", bytes(0 if 0 in shape else 1)))
        with pytest.raises((EncodingError, Refused, ValueError)):
            codec[1](sent)


def test_arrays_are_as_deep_as_the_lists_that_they_travel_as():
    def nested(depth):
        value = np.zeros(1)
        for _ in range(depth):
            value = [value]
        return value

    _native.unpack(_native.pack(nested(253)))
    with pytest.raises(EncodingError, match="nested more than 256 deep"):
        _native.pack(nested(254))
    with pytest.raises(Refused, match="nested more than 256 deep"):
        pure.pack([nested(253), object()], "value")


def test_plain_peers_know_no_arrays():
    for value in (np.zeros(2), {"a": [np.zeros(2)]}):
        with pytest.raises(Refused) as refused:
            _plain.write(value, "result.x")
        assert "an array cannot be sent as JSON; send array.tolist()" in refused.value.message


WITHOUT_NUMPY = """
from snakepit_bridge import _native
view = _native.unpack(_native.pack({"__array__": [[2, 2], "f32", bytes(16)]}))
assert type(view) is memoryview and view.shape == (2, 2) and view.format == "f", view
assert view.readonly
assert _native.unpack(_native.pack(view)) == view
for shape in ([0, 2], []):
    view = _native.unpack(_native.pack({"__array__": [shape, "s64", bytes(0 if shape else 8)]}))
    assert view.format == "q" and view.nbytes == (0 if shape else 8), view
try:
    _native.unpack(_native.pack({"__array__": [[1], "bf16", bytes(2)]}), "args.x")
except Exception as error:
    assert str(error) == "args.x: an array of bf16 needs numpy in the environment of the worker"
else:
    raise AssertionError
"""

NOT_IMPORTED = """
import array, sys
from snakepit_bridge import _native
_native.unpack(_native.pack([array.array("f", [1]).tolist(), {"__array__": 1}, b"x", {"a": 1}]))
_native.pack(array.array("f", [1]))
assert "numpy" not in sys.modules
_native.unpack(_native.pack(array.array("f", [1])))
assert "numpy" in sys.modules
"""


def run(code, *path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=env)


def test_without_numpy_arrays_are_views(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError")
    run(WITHOUT_NUMPY, tmp_path)


def test_numpy_is_imported_when_an_array_comes_in():
    run(NOT_IMPORTED)


def test_the_pure_codec_finds_views_wherever_they_stand():
    view = memoryview(b"12345678").cast("f")
    places = [lambda v: [v], lambda v: (1, v), lambda v: {"a": v}, lambda v: {"a": 1, "b": [v]}]
    for outer, inner in itertools.product(places, repeat=2):
        value = outer(inner(view))
        assert pure.pack(value, "value") == _native.pack(value)
