"""Arrays of numpy, there and back."""

import array
from pathlib import Path

import numpy as np

from snakepit_bridge import Context, client_stream, command, stream


@command
def look_at(array: np.ndarray):
    return {
        "array": f"{array.dtype} {array.shape} {array.tolist()}",
        "writeable": array.flags.writeable,
    }


@command
def give_layouts():
    plain = np.arange(6, dtype="i4").reshape(2, 3)
    return {
        "plain": plain,
        "fortran": np.asfortranarray(plain),
        "strided": np.repeat(plain, 2, axis=1)[:, ::2],
        "big_endian": plain.astype(">i4"),
        "number": np.array(0.0),
        "nothing": np.zeros((0, 3), "u1"),
        "standard_library": array.array("d", [0, 0]),
        "view_of_bytes": memoryview(b"bytes"),
    }


@stream
def rows(row: np.ndarray, count: int):
    for _ in range(count):
        yield {"row": row}
    return {"rows": count}


@client_stream
def total_of_rows(chunks):
    return {"total": sum(chunk["row"] for chunk in chunks)}


held = {}


@command
def hold_array(count: int):
    """Makes what ``give_held_array`` gives."""
    held["value"] = np.ones(count, "f4")
    return peak()


@command
def give_held_array():
    return {"value": held["value"]}


@command
def peak():
    """The most memory that this process has had, in MB."""
    status = Path("/proc/self/status").read_text()
    return {"mb": int(status.split("VmHWM:")[1].split()[0]) / 1024}


@command
def total(array: np.ndarray):
    return {"total": float(array.sum())}


@command
def keep_array(ctx: Context, array: np.ndarray):
    ctx.session["array"] = array


@command
def kept_array(ctx: Context):
    return {"array": ctx.session["array"]}
