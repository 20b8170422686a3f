"""What paying adds to a call: a route of our app that costs something against the same route free.

Two sellers run the same app, one with prices and one without; one client (`AsyncAgent` on aiohttp)
calls both; answers are stored and receipts made, as by default. The handler returns a constant, the hardest case; a
handler that looks something up is measured beside it, for the note.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.bench import Bench, Group, claim
from benchmarks.claim import Claim, absolute, paired
from benchmarks.disk import FAST_COMMIT_MS, commit_ms
from benchmarks.ours.side import our_side
from benchmarks.side import Load, Result, Side

PATH = "/paid"
RATE = "/rates/USD/2024-03-05"
PAID_VS_FREE = "paid_vs_free_32_in_flight"
ADDED_P50 = "added_p50_ms_sequential"


@dataclass(frozen=True, slots=True)
class Route:
    """What the route did in one round, with or without its price."""

    parallel: Result
    sequential: Result
    rate: Result
    commit_ms: float


def measure(bench: Bench) -> list[Claim]:
    """Run both routes in turn, at 32 in flight and one at a time."""
    with our_side(bench) as paid, our_side(bench, is_free=True) as free:

        def run(side: Side) -> Route:
            return Route(
                side.run(Load(PATH, bench.scaled(5000), 32)),
                side.run(Load(PATH, bench.scaled(1500))),
                side.run(Load(PATH + RATE, bench.scaled(5000), 32)),
                commit_ms(bench.folder),
            )

        rounds = bench.rounds_of("paid against free", [lambda: run(paid), lambda: run(free)])
    return _claims([(pair[0], pair[1]) for pair in rounds])


def _claims(rounds: list[tuple[Route, Route]]) -> list[Claim]:
    # Measured in every round: a disk that others use meanwhile is a slow one.
    commit = statistics.median(route.commit_ms for pair in rounds for route in pair)
    fast = commit < FAST_COMMIT_MS
    disk = f"a commit takes {commit:.2f} ms here"
    if not fast:
        disk += f"; the claim is for disks where it takes less than {FAST_COMMIT_MS} ms"
    added = [paid.sequential.p50_ms - free.sequential.p50_ms for paid, free in rounds]
    p99 = statistics.median(paid.parallel.p99_ms for paid, _ in rounds)
    rate = statistics.median(
        paid.rate.served_per_s / free.rate.served_per_s for paid, free in rounds
    )
    free_p50 = statistics.median(free.sequential.p50_ms for _, free in rounds)
    return [
        claim(
            PAID_VS_FREE,
            ">= 0.6",
            paired(
                [paid.parallel.served_per_s for paid, _ in rounds],
                [free.parallel.served_per_s for _, free in rounds],
            ),
            unit="calls/s",
            note=f"a handler that returns a constant; {rate:.2f} with one that looks a rate up; p99 of a"
            f" paid call {p99:.1f} ms; {disk}",
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
