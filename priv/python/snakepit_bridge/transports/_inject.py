"""Raises Cancelled in another thread."""

from __future__ import annotations

import ctypes

from .._exceptions import Cancelled

_set = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set.argtypes = (ctypes.c_ulong, ctypes.py_object)
_set.restype = ctypes.c_int

_NULL: ctypes.py_object[type[BaseException]] = ctypes.py_object()


def interrupt(ident: int) -> None:
    """Raises Cancelled in the thread at its next Python instruction."""
    _set(ident, Cancelled)


def clear(ident: int) -> None:
    """Takes back an exception that the thread has not met yet."""
    _set(ident, _NULL)
