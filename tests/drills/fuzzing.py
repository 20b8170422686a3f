"""A million inputs for every parser, two parsers at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any, Final

from tests.drills.report import Report
from tests.fuzz.run import Stats, run
from tests.fuzz.targets import TARGETS

CASES: Final = 1_000_000
SHARD: Final = 50_000


def fuzz(report: Report, cases: int, seed: int, jobs: int) -> int:
    """Fuzz what an earlier run has not; returns how many parsers failed."""
    found: dict[str, dict[str, Any]] = report.fuzz
    for name in TARGETS:
        known = found.get(name, {})
        if known.get("failures") or known.get("seed") != seed:
            found[name] = {"cases": 0, "accepted": 0, "refused": 0, "seed": seed, "failures": []}
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(run, *shard) for shard in _shards(found, cases, seed)]
        for done in as_completed(waiting):
            _take_in(found, done)
            report.write()
    failed = [name for name in TARGETS if found[name]["failures"]]
    for name in failed:
        print(f"fuzz {name}: {found[name]['failures'][0]}", file=sys.stderr)
    return len(failed)


def _shards(
    found: dict[str, dict[str, Any]], cases: int, seed: int
) -> Iterator[tuple[str, int, int]]:
    """What is left, in pieces that take seconds: a parser, how many cases, a seed of its own."""
    for first in range(0, cases, SHARD):
        for name in TARGETS:
            if found[name]["cases"] <= first:
                yield name, min(SHARD, cases - first), seed * 1_000_000 + first


def _take_in(found: dict[str, dict[str, Any]], done: Future[Stats]) -> None:
    stats = done.result()
    row = found[stats.parser]
    row["cases"] += stats.cases
    row["accepted"] += stats.accepted
    row["refused"] += stats.refused
    row["failures"] = (row["failures"] + stats.failures)[:5]
    print(f"fuzz {stats.parser:18} {row['cases']:9,} cases", file=sys.stderr)
