"""MessagePack without the native part, held against the native codec."""

import datetime
import math

import numpy as np
import pytest

from snakepit_bridge import EncodingError, _native
from snakepit_bridge.transports import _pure_msgpack as pure
from snakepit_bridge.transports._failure import Refused

LOOP = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        *(sign * 2**bits + d for bits in (0, 7, 8, 31, 63, 64, 65, 200) for sign in (1, -1)
          for d in (-1, 0, 1)),
        1.5,
        math.inf,
        "",
        "ä" * 40,
        b"",
        b"\xff" * 300,
        bytearray(b"x"),
        memoryview(b"xyz"),
        [1, (2, [3])],
        {"a": {1: 2, None: b"", 1.5: True}},
        datetime.datetime(2020, 1, 2, 3, 4, 5),
        datetime.date(2020, 1, 2),
        datetime.time(3, 4),
        [np.int8(5), np.float32(0.5), np.bool_(True), np.str_("s"), np.float64(2)],
        {"large": [2**70], "when": datetime.date(2020, 1, 2)},
        memoryview(b"12345678").cast("f"),
        {"a": ([memoryview(b"1234").cast("B", [2, 2])], np.zeros(2)), "large": 2**70},
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_the_bytes_are_the_same(value):
    packed = pure.pack(value, "value")
    assert packed == _native.pack(value)
    assert repr(pure.unpack(packed, "value")) == repr(_native.unpack(packed))


def test_nan_comes_back():
    assert math.isnan(pure.unpack(pure.pack(math.nan, "value"), "value"))


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, object()]},
        {"a": {"b": {1}}},
        [1j],
        {"a": "\ud800"},
        [np.longdouble(1)],
        [np.array(["x"])],
        [memoryview(b"12345678").cast("P")],
        [np.ma.zeros(2)],
        LOOP,
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_errors_are_the_same(value):
    with pytest.raises(Refused) as refused:
        pure.pack(value, "result.x")
    with pytest.raises(EncodingError) as expected:
        _native.pack(value, "result.x")
    assert refused.value.message == str(expected.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x01\x02", b"\x92\x01", b"\xa2\xff\xff", b"\x81\x90\x01", b"\xd4\x05\x00",
     b"\x91" * 10_000 + b"\xc0", b"\xdf\xff\xff\xff\xff"],
)  # fmt: skip
def test_what_is_no_messagepack_is_refused(data):
    with pytest.raises(Refused) as refused:
        pure.unpack(data, "args.x")
    assert refused.value.message.startswith("args.x: ")
    with pytest.raises(EncodingError):
        _native.unpack(data)
