"""The ledger's commits against a bare insert, on the disk that the bench measures."""

from __future__ import annotations

import statistics
import tempfile

from benchmarks import ledger_commit
from benchmarks.bench import Bench, Group, claim
from benchmarks.claim import Claim, Pair

NAME = "ledger_commit_vs_bare"


def measure(bench: Bench) -> list[Claim]:
    """Return the one claim; the first round warms up and does not count."""
    before, tempfile.tempdir = tempfile.tempdir, str(bench.folder)
    try:
        samples: list[Pair] = list(ledger_commit.measure(bench.rounds + 1)[1:])
    finally:
        tempfile.tempdir = before
    per_row_us = 1e6 / statistics.median(ours for ours, _ in samples)
    note = (
        f"batches of {ledger_commit.BATCH:,}, one fsync each; the ledger decides by its rules, keeps"
        f" balances and chains hashes in {per_row_us:.1f} us a transfer"
    )
    return [claim(NAME, ">= 0.5", samples, unit="rows/s", note=note)]


GROUP = Group("ledger", (NAME,), measure)
