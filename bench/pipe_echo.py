"""Echoes MessagePack through a pipe, with nothing around it: the floor under a call.

``pipe_echo.py frames`` reads and answers one value after the other, each after its length in four
bytes. ``pipe_echo.py blocks`` reads what there is, unpacks all values of it and answers them with
one write, which is the fastest for many callers.
"""

from __future__ import annotations

import os
import sys

import msgpack

__all__ = ["echo_blocks", "echo_frames"]

BLOCK = 1 << 18
LENGTH = 4


def echo_frames() -> None:
    """Answers each frame with one frame."""
    pack = msgpack.Packer().pack
    read = sys.stdin.buffer.read
    while length := read(LENGTH):
        answer = pack(msgpack.unpackb(read(int.from_bytes(length, "big"))))
        write(len(answer).to_bytes(LENGTH, "big") + answer)


def echo_blocks() -> None:
    """Answers all values that have come with one write."""
    pack = msgpack.Packer().pack
    values = msgpack.Unpacker()
    while True:
        block = os.read(0, BLOCK)
        if not block:
            return
        values.feed(block)
        write(b"".join([pack(value) for value in values]))


def write(data: bytes) -> None:
    """Writes all of ``data`` to stdout."""
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    {"frames": echo_frames, "blocks": echo_blocks}[sys.argv[1]]()
