"""What the native part packs for Python's own transports."""

import sys

import pytest

_native = pytest.importorskip("snakepit_bridge._native")


@pytest.mark.parametrize("size", [10, 100_000])
def test_what_was_packed_is_not_held(size: int) -> None:
    data = b"\xff" * size
    before = sys.getrefcount(data)
    packed = _native.pack({"data": data, "more": [data]})
    assert _native.unpack(packed) == {"data": data, "more": [data]}
    assert sys.getrefcount(data) == before
