"""What a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .baseline import Finding
from .measured import Measured
from .versions import needed

__all__ = ["advice", "functions", "table"]

_FUNCTIONS = 20
_ALLOCATING = 10
_COUNTS = ("instructions", "allocations", "bytes")


def table(findings: Sequence[Finding]) -> str:
    """A line for each path: ratios to the baseline, and counts of one operation."""
    head = ["path", *(f"{count}" for count in _COUNTS), ""]
    rows = [head, *([f.path, *(_cell(f, count) for count in _COUNTS), f.verdict] for f in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 4) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _cell(finding: Finding, count: str) -> str:
    if count not in finding.now:
        return ""
    value = finding.now[count]
    shown = f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
    known = finding.known.get(count)
    return f"{shown} ({known.ratio(value):.3f})" if known else shown


def advice(findings: Sequence[Finding], before: Mapping[str, str], mine: Mapping[str, str]) -> str:
    """What has to be done, if anything."""
    lines = [""]
    for finding in findings:
        lines += [f"{finding.path}: {what}" for what in _complaints(finding)]
    verdicts = {finding.verdict for finding in findings}
    if "?" in verdicts:
        names = sorted({name for f in findings if f.verdict == "?" for name in needed(f.path)})
        for name in names:
            if before.get(name) != mine[name]:
                lines.append(f"The baseline is of {name} {before.get(name)}, this is {mine[name]}.")
        lines.append("What is marked with ? cannot be judged, and was not.")
    if any(finding.fails for finding in findings):
        lines.append(
            "Where they go: scripts/guard --functions PATH, here and before the change."
            " If it has to be so: scripts/guard --accept, and commit bench/guard/baseline.json"
            " with the reason."
        )
    elif "better" in verdicts:
        lines.append(
            "Some paths cost less than they did. scripts/guard --accept, and commit"
            " bench/guard/baseline.json, so that it stays so."
        )
    elif "?" not in verdicts:
        lines.append("No path costs more than it did.")
    return "\n".join(lines)


def functions(path: str, measured: Measured) -> str:
    """The functions that cost and that allocate most, each without those that it calls."""
    lines = ["", f"{path}: what one costs, by function", "instructions  allocations"]
    by_cost = sorted(measured.profile.items(), key=lambda item: -item[1].instructions)
    rest = sorted(by_cost[_FUNCTIONS:], key=lambda item: -item[1].allocations)
    for (file, function), counts in [*by_cost[:_FUNCTIONS], *rest[:_ALLOCATING]]:
        instructions = counts.instructions / measured.operations
        allocations = counts.allocations / measured.operations
        lines.append(f"{instructions:12,.1f} {allocations:12.2f}  {function}  [{file}]")
    return "\n".join(lines)


def _complaints(finding: Finding) -> list[str]:
    if finding.verdict == "NEW":
        return ["is not in the baseline, or not all of it."]
    if finding.verdict == "GONE":
        return ["is in the baseline, but nothing counts it any more."]
    if finding.verdict != "WORSE":
        return []
    return [
        f"{finding.now[count]:.2f} {count} for one, {known.value:.2f} are known"
        f" ({_percent(known.ratio(finding.now[count]))}, {known.tolerance:.0%} are tolerated)."
        for count, known in finding.known.items()
        if known.ratio(finding.now[count]) > 1 + known.tolerance
    ]


def _percent(ratio: float) -> str:
    return f"{ratio - 1:+.1%}" if ratio != float("inf") else "there were none"
