"""Counts, compares, and says what to do."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import baseline, native, report, versions, vm, worker

_BASELINE = Path(__file__).with_name("baseline.json")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/guard",
        description="Counts what the hot paths cost, and compares that with the baseline.",
    )
    parser.add_argument("prefix", nargs="*", help="only the paths that begin so, for example lane")
    parser.add_argument("--accept", action="store_true", help="make the counts the new baseline")
    parser.add_argument("--functions", action="store_true", help="say which functions cost most")
    parser.add_argument("--baseline", type=Path, default=_BASELINE, help="another baseline's file")
    options = parser.parse_args()

    measured = {
        **native.measure(options.prefix),
        **worker.measure(options.prefix),
        **vm.measure(options.prefix),
    }
    if not measured:
        parser.error(f"no path begins with {' or '.join(options.prefix)}")
    if options.functions:
        for path, counted in measured.items():
            print(report.functions(path, counted))
        return 0

    now = {path: counted.counts for path, counted in measured.items()}
    mine = versions.here()
    before = baseline.read(options.baseline)
    if options.accept:
        baseline.write(options.baseline, before.accept(now, mine, whole=not options.prefix))
        print(f"{len(now)} paths are in {options.baseline}: commit it, and say why they changed.")
        return 0

    findings = before.judge(now, mine, whole=not options.prefix)
    print(report.table(findings))
    print(report.advice(findings, before.versions, mine))
    return 1 if any(finding.fails for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
