"""Arrays of numbers, on their way out and in.

They travel as ``{"__array__": [shape, dtype, data]}``, the items little-endian and in C order. What
is so in memory is not copied here. numpy is not imported before the first array comes in.
"""

from __future__ import annotations

import sys
from array import array
from functools import cache
from math import prod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["KEY", "is_bytes", "make", "take"]

KEY = "__array__"

#: By their names on the wire: the bytes of an item, and what numpy and struct call it.
_DTYPES = {
    "bool": (1, "bool", "?"),
    "u8": (1, "uint8", "B"),
    "u16": (2, "uint16", "H"),
    "u32": (4, "uint32", "I"),
    "u64": (8, "uint64", "Q"),
    "s8": (1, "int8", "b"),
    "s16": (2, "int16", "h"),
    "s32": (4, "int32", "i"),
    "s64": (8, "int64", "q"),
    "f16": (2, "float16", ""),
    "bf16": (2, "bfloat16", ""),
    "f32": (4, "float32", "f"),
    "f64": (8, "float64", "d"),
    "c64": (8, "complex64", ""),
    "c128": (16, "complex128", ""),
}
_OF_NUMPY = {numpy_name: name for name, (_, numpy_name, _) in _DTYPES.items()}

#: The formats of struct and of numpy, by the kind of number. Their sizes depend on the machine.
_KINDS = {
    **dict.fromkeys(("b", "h", "i", "l", "q", "n"), "s"),
    **dict.fromkeys(("B", "H", "I", "L", "Q", "N", "c"), "u"),
    **dict.fromkeys(("e", "f", "d"), "f"),
    **dict.fromkeys(("Zf", "Zd"), "c"),
}

_ORDERS = "@=<>!"

_ADVICE = {
    **dict.fromkeys("OSTU", "send array.tolist()"),
    **dict.fromkeys("Mm", 'send array.astype("int64")'),
    "V": "send its fields one by one",
}


def is_bytes(view: memoryview) -> bool:
    """Whether it is a binary rather than an array."""
    return view.ndim == 1 and view.format in ("B", "c")


def take(value: Any) -> tuple[Sequence[int], str, memoryview] | None:
    """Shape, dtype and items of what has the buffer protocol, None for all else. The items are
    contiguous, their format may be any. Raises ValueError for items that are no numbers."""
    if _is_one(value, "numpy", "ndarray"):
        name, view = _of_numpy(value)
    elif _is_one(value, "numpy", "generic"):
        return None
    else:
        try:
            view = memoryview(value)
        except TypeError:
            return None
        name = _name_of(view)
    shape = view.shape or ()
    if _is_big_endian(view):
        view = _swapped(view)
    elif not (view.shape and view.c_contiguous):  # not every reader knows views of no dimension
        view = memoryview(view.tobytes())
    return shape, name, view


def make(form: Any) -> Any:
    """What stands for ``{KEY: form}``: an array that cannot be written to, or just that, if it says
    something else. Raises ValueError for an array that there is no form for."""
    if not _is_form(form):
        return {KEY: form}
    shape, dtype, data = form
    numpy = _numpy()
    if numpy is None:
        return _view(shape, dtype, data)
    if dtype == "bf16":
        return _bfloat16(numpy, shape, data)
    name = numpy.dtype(_DTYPES[dtype][1]).newbyteorder("<")
    return numpy.ndarray(shape, name, data)


def _of_numpy(value: Any) -> tuple[str, memoryview]:
    if _is_one(value, "numpy.ma", "MaskedArray"):
        raise ValueError("a masked array cannot be sent to Elixir; send array.filled()")
    dtype = value.dtype
    name = _OF_NUMPY.get(dtype.name)
    if name is None:
        advice = _ADVICE.get(dtype.kind, "convert it with array.astype()")
        raise ValueError(f"an array of dtype {dtype} cannot be sent to Elixir; {advice}")
    # The buffer protocol does not know bfloat16.
    return name, memoryview(value.view("u2") if name == "bf16" else value)


def _name_of(view: memoryview) -> str:
    code = view.format.lstrip(_ORDERS)
    name = "bool" if code == "?" else f"{_KINDS.get(code, '')}{view.itemsize * 8}"
    if name not in _DTYPES:
        raise ValueError(f"items of the format {view.format!r} cannot be sent to Elixir")
    return name


def _is_big_endian(view: memoryview) -> bool:
    if view.itemsize == 1:
        return False
    order = view.format[0]
    return order in ">!" or (order != "<" and sys.byteorder == "big")


def _swapped(view: memoryview) -> memoryview:
    size = view.itemsize // 2 if "Z" in view.format else view.itemsize
    items = array({2: "H", 4: "I", 8: "Q"}[size], view.tobytes())
    items.byteswap()
    return memoryview(items)


def _is_form(form: Any) -> bool:
    if type(form) is not list or len(form) != 3:
        return False
    shape, dtype, data = form
    return (
        type(shape) is list
        and all(type(size) is int and size >= 0 for size in shape)
        and type(dtype) is str
        and dtype in _DTYPES
        and type(data) is bytes
        and prod(shape) * _DTYPES[dtype][0] == len(data)
    )


def _view(shape: list[int], dtype: str, data: bytes) -> Any:
    """Without numpy."""
    format = _DTYPES[dtype][2]
    if not format or sys.byteorder != "little":
        raise ValueError(f"an array of {dtype} needs numpy in the environment of the worker")
    view: Any = memoryview(data)
    return view.cast(format) if 0 in shape else view.cast(format, shape)


def _bfloat16(numpy: Any, shape: list[int], data: bytes) -> Any:
    """numpy has none; without the package that has it, the same numbers of twice the size."""
    try:
        import ml_dtypes
    except ImportError:
        wide = numpy.ndarray(shape, "<u2", data).astype("<u4")
        numpy.left_shift(wide, 16, out=wide)
        wide.flags.writeable = False
        return wide.view("<f4")
    return numpy.ndarray(shape, ml_dtypes.bfloat16, data)


@cache
def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _is_one(value: Any, module: str, name: str) -> bool:
    """Whether it is of a class of a module that may not have been imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
