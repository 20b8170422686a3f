"""A million inputs for every parser, two parsers at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
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
        known = found.get(name)
        if known is None or known["failures"] or known["seed"] != seed:
            found[name] = {
                **dict.fromkeys(("cases", "accepted", "refused"), 0),
                "seed": seed,
                "seconds": 0.0,
                "shards": [],
                "failures": [],
            }
    pool = ProcessPoolExecutor(jobs)
    try:
        waiting = {
            pool.submit(run, name, size, seed * 1_000_000 + first): first
            for name, size, first in _shards(found, cases)
        }
        for done in as_completed(waiting):
            _take_in(found, done.result(), waiting[done])
            report.write()
    finally:
        pool.shutdown(cancel_futures=True)
    failed = [name for name in TARGETS if found[name]["failures"]]
    for name in failed:
        print(f"fuzz {name}: {found[name]['failures'][0]}", file=sys.stderr)
    return len(failed)


def _shards(found: dict[str, dict[str, Any]], cases: int) -> Iterator[tuple[str, int, int]]:
    """What is left, in pieces that take seconds: a parser, how many cases, after which number."""
    for first in range(0, cases, SHARD):
        for name in TARGETS:
            if first not in found[name]["shards"]:
                yield name, min(SHARD, cases - first), first


def _take_in(found: dict[str, dict[str, Any]], stats: Stats, first: int) -> None:
    row = found[stats.parser]
    row["shards"].append(first)
    row["cases"] += stats.cases
    row["accepted"] += stats.accepted
    row["refused"] += stats.refused
    row["seconds"] = round(row["seconds"] + stats.seconds, 1)
    row["failures"] = (row["failures"] + stats.failures)[:5]
    print(f"fuzz {stats.parser:18} {row['cases']:9,} cases", file=sys.stderr)
