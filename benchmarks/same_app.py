"""What paying adds to a call: the paid route of our app against its free route.

One app object, one handler for both routes, one client (`AsyncAgent` on aiohttp) for both; answers
are stored and receipts made, as by default.
"""

from __future__ import annotations

import statistics

from benchmarks.bench import Bench, Group, claim
from benchmarks.claim import Claim, absolute, paired
from benchmarks.disk import FAST_COMMIT_MS
from benchmarks.ours.side import our_side
from benchmarks.side import Load, Result

PAID_VS_FREE = "paid_vs_free_32_in_flight"
ADDED_P50 = "added_p50_ms_sequential"


def measure(bench: Bench) -> list[Claim]:
    """Run both routes in turn, at 32 in flight and one at a time."""
    with our_side(bench) as side:

        def run(path: str) -> tuple[Result, Result]:
            parallel = side.run(Load(path, bench.scaled(5000), 32))
            return parallel, side.run(Load(path, bench.scaled(1500)))

        rounds = bench.rounds_of("paid against free", [lambda: run("/paid"), lambda: run("/free")])
    return _claims(bench, [(pair[0], pair[1]) for pair in rounds])


Routes = tuple[tuple[Result, Result], tuple[Result, Result]]


def _claims(bench: Bench, rounds: list[Routes]) -> list[Claim]:
    fast = bench.commit_ms < FAST_COMMIT_MS
    disk = f"a commit takes {bench.commit_ms:.2f} ms here"
    if not fast:
        disk += f"; the claim is for disks where it takes less than {FAST_COMMIT_MS} ms"
    added = [paid[1].p50_ms - free[1].p50_ms for paid, free in rounds]
    p99 = statistics.median(paid[0].p99_ms for paid, _ in rounds)
    free_p50 = statistics.median(free[1].p50_ms for _, free in rounds)
    return [
        claim(
            PAID_VS_FREE,
            ">= 0.6",
            paired(
                [paid[0].served_per_s for paid, _ in rounds],
                [free[0].served_per_s for _, free in rounds],
            ),
            unit="calls/s",
            note=f"{disk}; p99 of a paid call at 32 in flight {p99:.1f} ms",
            applies=fast,
        ),
        claim(
            ADDED_P50,
            "<= 0.5",
            absolute(added),
            unit="ms",
            note=f"{disk}; a free call takes {free_p50:.2f} ms",
            applies=fast,
        ),
    ]


GROUP = Group("same-app", (PAID_VS_FREE, ADDED_P50), measure)
