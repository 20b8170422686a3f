"""A ledger whose process is killed loses nothing that it acknowledged, and verifies."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from aisa.ledger import Status
from aisa.ledger.sqlite import SqliteStore
from tests.integration import ledger_poster
from tests.integration.ledger_poster import ANN, BOB, NET, command

ROOT = Path(__file__).parents[2]


def post_until_killed(path: Path, acknowledged: int | None, environ: Mapping[str, str]) -> set[str]:
    """Run the poster; kill it after that many lines, or let a failpoint do it; return its lines."""
    with subprocess.Popen(
        [sys.executable, str(Path(ledger_poster.__file__)), str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, **environ},
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        lines: list[bytes] = []
        for line in process.stdout:
            lines.append(line)
            if len(lines) == acknowledged:
                process.kill()
        assert process.wait() == -9
    return {line.decode().strip() for line in lines if line.endswith(b"\n")}


async def check(path: Path, acknowledged: set[str]) -> None:
    async with await SqliteStore.open(path, clock=ledger_poster.now_ms) as store:
        report = await store.verify()
        assert report.ok, report.bad
        kept: set[str] = set()
        for worker in range(ledger_poster.WORKERS):
            record = await store.record("last", str(worker))
            versions = 0 if record is None else record.version
            kept |= {f"{worker}-{number}" for number in range(versions)}
        assert acknowledged <= kept
        # Each acknowledged command is there once, whole: transfer, hold and record.
        for name in sorted(acknowledged)[:20]:
            worker, number = map(int, name.split("-"))
            one = await store.transfer(name)
            assert one is not None
            assert one.units == 10
            assert await store.hold(f"{name}-h") is not None
            transfer = command(worker, number)[:1]
            assert (await store.post(transfer)).status is Status.REPEATED
        ann, bob, net = [await store.balance(name) for name in (ANN, BOB, NET)]
        assert ann.credits_posted == net.debits_posted == 10 * len(kept)
        assert ann.units + bob.units + net.units == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_killed_anywhere_nothing_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    path = tmp_path / "ledger.sqlite"
    acknowledged: set[str] = set()
    for _ in range(3):
        acknowledged |= post_until_killed(path, source.randint(1, 600), {})
        await check(path, acknowledged)


@pytest.mark.parametrize("point", ["ledger.commit.before", "ledger.commit.after"])
async def test_killed_around_a_commit_nothing_acknowledged_is_lost(
    tmp_path: Path, point: str
) -> None:
    path = tmp_path / "ledger.sqlite"
    acknowledged: set[str] = set()
    for nth in (1, 2, 7):
        armed = {"AISA_DEVNET": "1", "AISA_FAULTS": f"{point}:{nth}=kill"}
        acknowledged |= post_until_killed(path, None, armed)
        await check(path, acknowledged)
