"""What the paths are known to cost, and whether they cost more."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import versions

__all__ = ["Baseline", "Finding", "read", "write"]

Counts = Mapping[str, float]

# More than the counts vary by when nothing has changed. A path's own tolerance stands in the
# baseline, where it may be changed.
_TOLERANCES = {
    "worker/chunk of 1 MiB": 0.12,
    "python/chunk of 1 MiB": 0.12,
    "worker/": 0.04,
    "python/": 0.03,
}
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Finding:
    """One path: what it costs, what it did cost, and what to think of that."""

    path: str
    now: Counts
    before: Counts
    verdict: str
    tolerance: float

    @property
    def fails(self) -> bool:
        return self.verdict in ("WORSE", "NEW", "GONE")

    def ratio(self, count: str) -> float:
        now, before = self.now.get(count, 0.0), self.before.get(count, 0.0)
        if before == 0:
            return 1.0 if now == 0 else math.inf
        return now / before


@dataclass(frozen=True)
class Baseline:
    """The counts of all paths, and the versions with which they were taken."""

    versions: Mapping[str, str]
    paths: Mapping[str, Counts]

    def judge(
        self, now: Mapping[str, Counts], mine: Mapping[str, str], whole: bool
    ) -> list[Finding]:
        """What to think of these counts; ``whole`` if all paths were counted."""
        gone = [path for path in self.paths if whole and path not in now]
        return [self._judge(path, now.get(path, {}), mine) for path in [*now, *gone]]

    def _judge(self, path: str, now: Counts, mine: Mapping[str, str]) -> Finding:
        before = self.paths.get(path, {})
        tolerance = before.get("tolerance", _tolerance(path))
        before = {count: value for count, value in before.items() if count != "tolerance"}
        finding = Finding(path, now, before, "", tolerance)
        ratios = [finding.ratio(count) for count in {*now, *before}]
        if not before or not now:
            verdict = "NEW" if now else "GONE"
        elif any(self.versions.get(name) != mine[name] for name in versions.needed(path)):
            verdict = "?"
        elif max(ratios) > 1 + tolerance:
            verdict = "WORSE"
        else:
            verdict = "better" if min(ratios) < 1 - tolerance else ""
        return Finding(path, now, before, verdict, tolerance)

    def accept(self, now: Mapping[str, Counts], mine: Mapping[str, str], whole: bool) -> Baseline:
        """The baseline in which these counts are right. The tolerances stay."""
        paths = {} if whole else dict(self.paths)
        for path, counts in now.items():
            tolerance = self.paths.get(path, {}).get("tolerance", _tolerance(path))
            paths[path] = {**counts, "tolerance": tolerance}
        return Baseline(mine, paths)


def read(path: Path) -> Baseline:
    """An empty one if there is none."""
    if not path.exists():
        return Baseline({}, {})
    content = json.loads(path.read_text(encoding="utf-8"))
    return Baseline(content["versions"], content["paths"])


def write(path: Path, baseline: Baseline) -> None:
    """One line for each path, so that a change is read with ease."""
    lines = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(_rounded(counts))}"
        for name, counts in baseline.paths.items()
    )
    heads = json.dumps(dict(baseline.versions), indent=2).replace("\n", "\n  ")
    path.write_text(
        f'{{\n  "versions": {heads},\n  "paths": {{\n{lines}\n  }}\n}}\n', encoding="utf-8"
    )


def _rounded(counts: Counts) -> dict[str, float]:
    return {count: round(value, 2) for count, value in counts.items()}


def _tolerance(path: str) -> float:
    return next(
        (share for prefix, share in _TOLERANCES.items() if path.startswith(prefix)), _TOLERANCE
    )
