"""What the paths are known to cost, and whether they cost more."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import versions

__all__ = ["Baseline", "Finding", "Known", "read", "write"]

# For a path that is new, by how it begins: the share by which its instructions may exceed what is
# known, and that for what it allocates. More than they vary by when nothing has changed, and for
# instructions more than what a change elsewhere does to what the compiler puts inline.
_TOLERANCES = (
    ("worker/chunk of 1 MiB", 0.12, 0.12),
    ("python/chunk of 1 MiB", 0.12, 0.12),
    ("worker/16 calls", 0.2, 0.03),
    ("worker/", 0.06, 0.03),
    ("nif/chunk of 1 MiB", 0.08, 0.08),
    ("nif/", 0.05, 0.03),
    ("uplink/chunk of 10 B", 0.08, 0.01),
    ("", 0.03, 0.01),
)


@dataclass(frozen=True)
class Known:
    """A count of one operation, and the share by which it may be exceeded."""

    value: float
    tolerance: float

    def ratio(self, now: float) -> float:
        if self.value == 0:
            return 1.0 if now == 0 else math.inf
        return now / self.value


@dataclass(frozen=True)
class Finding:
    """One path: what it costs, what it did cost, and what to think of that."""

    path: str
    now: Mapping[str, float]
    known: Mapping[str, Known]
    verdict: str

    @property
    def fails(self) -> bool:
        return self.verdict in ("WORSE", "NEW", "GONE")


@dataclass(frozen=True)
class Baseline:
    """What is known of all paths, and the versions with which it was counted."""

    versions: Mapping[str, str]
    paths: Mapping[str, Mapping[str, Known]]

    def judge(
        self, now: Mapping[str, Mapping[str, float]], mine: Mapping[str, str], whole: bool
    ) -> list[Finding]:
        """What to think of these counts; ``whole`` if all paths were counted."""
        gone = [path for path in self._rest(now, False) if whole]
        return [self._judge(path, now.get(path, {}), mine) for path in [*now, *gone]]

    def _rest(self, now: Mapping[str, Mapping[str, float]], uncounted: bool) -> list[str]:
        """The paths that are not among these: those of kinds that could not be counted at all, or
        those of the others."""
        kinds = {_kind(path) for path in now}
        return [
            path
            for path in self.paths
            if path not in now and (_kind(path) not in kinds) == uncounted
        ]

    def _judge(self, path: str, now: Mapping[str, float], mine: Mapping[str, str]) -> Finding:
        known = self.paths.get(path, {})
        if now.keys() != known.keys():
            verdict = "NEW" if now else "GONE"
        elif any(self.versions.get(name) != mine[name] for name in versions.needed(path)):
            verdict = "?"
        else:
            verdict = _verdict((now[count], known[count]) for count in now)
        return Finding(path, now, known, verdict)

    def accept(
        self, now: Mapping[str, Mapping[str, float]], mine: Mapping[str, str], whole: bool
    ) -> Baseline:
        """The baseline in which these counts are right. The tolerances stay."""
        paths = (
            {path: self.paths[path] for path in self._rest(now, True)} if whole else {**self.paths}
        )
        for path, counts in now.items():
            before = self.paths.get(path, {})
            paths[path] = {
                count: Known(
                    value,
                    before[count].tolerance if count in before else _tolerance(path, count),
                )
                for count, value in counts.items()
            }
        return Baseline(mine, paths)


def _kind(path: str) -> str:
    return path.split("/")[0]


def _verdict(pairs: Iterable[tuple[float, Known]]) -> str:
    over = [(known.ratio(now) - 1, known.tolerance) for now, known in pairs]
    if any(by > tolerance for by, tolerance in over):
        return "WORSE"
    return "better" if any(-by > tolerance for by, tolerance in over) else ""


def _tolerance(path: str, count: str) -> float:
    return next(
        instructions if count == "instructions" else allocated
        for prefix, instructions, allocated in _TOLERANCES
        if path.startswith(prefix)
    )


def read(path: Path) -> Baseline:
    """An empty one if there is none."""
    if not path.exists():
        return Baseline({}, {})
    content = json.loads(path.read_text(encoding="utf-8"))
    paths = {
        name: {count: Known(*known) for count, known in counts.items()}
        for name, counts in content["paths"].items()
    }
    return Baseline(content["versions"], paths)


def write(path: Path, baseline: Baseline) -> None:
    """One line for each path, so that a change is read with ease."""
    lines = []
    for name, counts in baseline.paths.items():
        known = {count: [round(k.value, 2), k.tolerance] for count, k in counts.items()}
        lines.append(f"    {json.dumps(name)}: {json.dumps(known)}")
    heads = json.dumps(dict(baseline.versions), indent=2).replace("\n", "\n  ")
    paths = ",\n".join(lines)
    path.write_text(
        f'{{\n  "versions": {heads},\n  "paths": {{\n{paths}\n  }}\n}}\n', encoding="utf-8"
    )
