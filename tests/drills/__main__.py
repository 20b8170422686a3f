"""`python -m tests.drills`: kill, cut and fuzz; can be interrupted and resumed.

Exit code 1 if anything is red, or fewer points ran than were asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.drills.draw import Draw
from tests.drills.fuzzing import CASES, fuzz
from tests.drills.killing import TARGETS, Killer
from tests.drills.report import PATH, Report, Result
from tests.drills.storing import drill_store

POINTS = 200
STORE_POINTS = 60
JOBS = 3
"""Worlds at a time: a drill waits for the chain and for backoffs more than it computes."""


async def kill(report: Report, targets: Sequence[str], *, points: int, seed: int, jobs: int) -> int:
    """Drill the processes, `jobs` worlds at a time; returns how many targets fell short."""
    killers = [Killer(str(number), report, in_memory=number == 0) for number in range(jobs)]
    short = 0
    try:
        for target in targets:
            draw, baseline = Draw(target, points, seed, report), asyncio.Lock()
            async with asyncio.TaskGroup() as tasks:
                for killer in killers:
                    tasks.create_task(killer.drill(draw, baseline))
            if missing := draw.missing:
                print(f"{target}: never killed at {', '.join(missing)}", file=sys.stderr)
            green = len(report.of(target, Result.GREEN))
            short += bool(missing) or green < points
    finally:
        for killer in killers:
            killer.clean()
    return short


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # A stop is an interruption, too: nobody is left running, and what was found is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report(options.report, fresh=options.fresh)
    try:
        failed = run(report, options)
    except KeyboardInterrupt:
        print("interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return min(failed, 1)


def run(report: Report, options: argparse.Namespace) -> int:
    """Do what was asked for; returns how much of it failed."""
    only = options.only or [*TARGETS, "store", "fuzz"]
    failed = 0
    if targets := [one for one in TARGETS if one in only]:
        failed += asyncio.run(
            kill(report, targets, points=options.points, seed=options.seed, jobs=options.jobs)
        )
    if "store" in only:
        wanted = min(STORE_POINTS, options.points)
        failed += asyncio.run(drill_store(report, wanted, options.seed))
    if "fuzz" in only:
        failed += fuzz(report, options.cases, options.seed, min(options.jobs, os.cpu_count() or 1))
    report.write()
    for target, summary in report.document()["targets"].items():
        print(
            f"{target:7} {summary['points']} points: {summary['green']} green,"
            f" {summary['red']} red, {summary['unreached']} not reached"
        )
        failed += summary["red"]
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.drills", description=__doc__)
    parser.add_argument("--only", action="append", choices=[*TARGETS, "store", "fuzz"])
    parser.add_argument("--points", type=int, default=POINTS, help="for each process")
    parser.add_argument("--cases", type=int, default=CASES, help="for each parser")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=JOBS, choices=range(1, 9))
    parser.add_argument("--report", type=Path, default=PATH, help="the file to write")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    return parser


if __name__ == "__main__":
    sys.exit(main())
