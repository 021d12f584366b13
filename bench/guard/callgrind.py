"""Runs a program under callgrind and reads what it has counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Counts", "Profile", "command", "profiles"]

# The C library's, and those by which Rust calls mimalloc.
_ALLOCATORS = frozenset(
    {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"}
    | {"mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned"}
)
# mimalloc is part of the NIF, but as little ours as the C library: it is another compiler's.
_NOT_OURS = ("mi_", "_mi_")


@dataclass
class Counts:
    """What some code has done itself, without the functions that it calls."""

    instructions: int = 0
    allocations: int = 0


class Profile(dict[tuple[str, str], Counts]):
    """What was done between two marks, by program or library and by function."""

    def of(self, *files: str) -> Counts:
        """The sum over the programs and libraries whose names begin so, without allocators."""
        chosen = [
            counts
            for (file, function), counts in self.items()
            if file.startswith(files) and not function.startswith(_NOT_OURS)
        ]
        return Counts(
            sum(counts.instructions for counts in chosen),
            sum(counts.allocations for counts in chosen),
        )


def command(out: Path, *marks: str) -> list[str]:
    """What stands before a program's own command line. Its counts go to files beside ``out``."""
    return [
        "valgrind",
        "--quiet",
        "--vgdb=no",
        "--tool=callgrind",
        f"--callgrind-out-file={out}",
        "--compress-strings=no",
        "--compress-pos=no",
        *marks,
    ]


def profiles(out: Path) -> list[Profile]:
    """What was counted up to each mark, in order."""
    numbers = sorted(int(path.suffix[1:]) for path in out.parent.glob(f"{out.name}.*"))
    return [_read(out.with_name(f"{out.name}.{number}")) for number in numbers]


def _read(path: Path) -> Profile:
    with path.open(encoding="utf-8", errors="replace") as lines:
        return _add_up(lines)


def _add_up(lines: Iterable[str]) -> Profile:
    """Of callgrind's format: lines of costs belong to the function named before. The one behind a
    call says what the callee has cost, which is counted where that stands."""
    counts: defaultdict[tuple[str, str], Counts] = defaultdict(Counts)
    file, function, callee, behind_call = "", "", "", False
    for line in lines:
        key, _, value = line.rstrip("\n").partition("=")
        if key == "ob":
            file = Path(value).name
        elif key == "fn":
            function = value
        elif key == "cfn":
            callee = value
        elif key == "calls":
            behind_call = True
            if callee in _ALLOCATORS:
                counts[file, function].allocations += int(value.split()[0])
        elif line[:1].isdigit():
            if not behind_call:
                counts[file, function].instructions += int(line.split()[1])
            behind_call = False
    return Profile(counts)
