"""Paths through threads, which do not meet in the same order every time: of several rounds, the
median stands for all."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .callgrind import Profile

__all__ = ["medians", "one_processor"]


def medians(output: str, profiles: Sequence[Profile], file: str) -> dict[str, tuple[Profile, int]]:
    """For each path the round with the median of what this file has done, and its operations.

    ``output`` has a line for each round, and there are two profiles for each: up to its begin, and
    from there on.
    """
    rounds: dict[str, list[Profile]] = defaultdict(list)
    operations: dict[str, int] = {}
    for line, profile in zip(output.splitlines(), profiles[1::2]):
        name, count = line.split("\t")
        rounds[name].append(profile)
        operations[name] = int(count)
    return {name: (_median(of_path, file), operations[name]) for name, of_path in rounds.items()}


def _median(rounds: Sequence[Profile], file: str) -> Profile:
    return sorted(rounds, key=lambda profile: profile.of(file).instructions)[len(rounds) // 2]


@contextmanager
def one_processor() -> Iterator[None]:
    """There threads take turns, and the counts vary least."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)
