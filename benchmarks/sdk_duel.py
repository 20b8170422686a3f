"""Our paid calls against the official x402 SDK's, with everything in the SDK's favour.

Ours checks and commits to disk before it answers; the SDK's seller has a facilitator that says yes
at once, keeps channels in memory and writes nothing.
"""

from __future__ import annotations

import statistics

from benchmarks.bench import Bench, Group, claim
from benchmarks.claim import Claim, absolute, paired
from benchmarks.ours.side import our_side
from benchmarks.side import Load, Result, Side, x402_side

BEST = "paid_per_s_vs_sdk_best"
SEQUENTIAL = "paid_per_s_vs_sdk_sequential"
AGENTS_32 = "paid_per_s_vs_sdk_32_agents"
SERVER_CPU = "server_cpu_per_paid_call"
SERVED_OF_32 = "served_of_32_parallel"

Round = dict[str, Result]


def _ours(side: Side, bench: Bench) -> Round:
    return {
        "parallel": side.run(Load("/paid", bench.scaled(5000), 32)),
        "sequential": side.run(Load("/paid", bench.scaled(1500))),
        "burst": side.run(Load("/paid", 32, 32)),
    }


def _theirs(side: Side, bench: Bench) -> Round:
    return {
        "sequential": side.run(Load("/paid", bench.scaled(300))),
        "parallel": side.run(Load("/paid", bench.scaled(300), 32)),
        "agents": side.run(Load("/paid", bench.scaled(640), 32, 32)),
        "burst": side.run(Load("/paid", 32, 32)),
    }


def measure(bench: Bench) -> list[Claim]:
    """Run both sides in turn and return the five claims."""
    with our_side(bench) as ours, x402_side(bench.logs) as theirs:
        rounds = bench.rounds_of(
            "against the SDK", [lambda: _ours(ours, bench), lambda: _theirs(theirs, bench)]
        )
    return _claims(rounds)


def _claims(rounds: list[tuple[Round, ...]]) -> list[Claim]:
    us = [pair[0] for pair in rounds]
    sdk = [pair[1] for pair in rounds]
    parallel = [r["parallel"].served_per_s for r in us]
    sdk_sequential = [r["sequential"].served_per_s for r in sdk]
    sdk_parallel = [r["parallel"].served_per_s for r in sdk]
    sdk_best = [max(pair) for pair in zip(sdk_sequential, sdk_parallel, strict=True)]
    refused = statistics.median(r["parallel"].refused / _attempts(r["parallel"]) for r in sdk)
    return [
        claim(
            BEST,
            ">= 30",
            paired(parallel, sdk_best),
            unit="paid calls/s",
            note=f"one agent, 32 in flight on one channel, against the better of the SDK's sequential"
            f" {statistics.median(sdk_sequential):.0f}/s and its {statistics.median(sdk_parallel):.0f}/s"
            f" served at 32 in flight (it refuses {refused:.0%} of those); coincurve, safe-pysha3 and"
            " sniffio installed for it, nothing durable on its side",
        ),
        claim(
            SEQUENTIAL,
            ">= 8",
            paired([r["sequential"].served_per_s for r in us], sdk_sequential),
            unit="paid calls/s",
            note="one call at a time on both sides; ours waits for one commit on disk in every call",
        ),
        claim(
            AGENTS_32,
            ">= 15",
            paired(parallel, [r["agents"].served_per_s for r in sdk]),
            unit="paid calls/s",
            note="one agent of ours, 32 in flight, against 32 agents of the SDK, one call each at a time",
        ),
        claim(
            SERVER_CPU,
            "<= 0.0667",
            paired(
                [r["parallel"].cpu_s_per_call * 1e6 for r in us],
                [r["sequential"].cpu_s_per_call * 1e6 for r in sdk],
            ),
            unit="us of CPU",
            note="all threads of the seller's process; ours at 32 in flight, theirs sequential",
        ),
        claim(
            SERVED_OF_32,
            ">= 32",
            absolute(r["burst"].served for r in us),
            unit="calls",
            note="32 calls at once of one agent on one channel; the SDK serves"
            f" {statistics.median(r['burst'].served for r in sdk):g} of them",
        ),
    ]


def _attempts(result: Result) -> int:
    return result.served + result.refused


GROUP = Group("sdk", (BEST, SEQUENTIAL, AGENTS_32, SERVER_CPU, SERVED_OF_32), measure)
