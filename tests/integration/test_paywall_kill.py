"""SIGKILL at named points of the seller: nothing acknowledged is lost, nothing is charged twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aisa.channel.sqlite.store import SqliteChannelStore
from tests.integration.paying import PAYEE, Payer, Shop

ROOT = Path(__file__).parents[2]
POINTS = [
    "seller.commit.before",
    "seller.commit.after",
    "seller.send.before",
    "seller.redeem.before",
    "seller.redeem.after",
]
LAST = 400


def run_until_killed(folder: Path, first: int, commit: str, fault: str) -> dict[int, str]:
    environ = {
        **os.environ,
        "AISA_DEVNET": "1",
        "AISA_FAULTS": fault,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.integration.paywall_seller"),
            *(str(folder), str(first), str(LAST), commit),
        ],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    return {int(seq): body for seq, body in lines}


@pytest.mark.parametrize("commit", ["inline", "thread"])
@pytest.mark.parametrize("point", POINTS)
async def test_killed_at(tmp_path: Path, point: str, commit: str) -> None:
    seeded = random.Random(f"{point} {commit}")
    payer = Payer("killed")
    acknowledged: dict[int, str] = {}
    first = 1
    for _ in range(2):
        nth = seeded.randint(2, 6 if "redeem" in point else 30)
        acknowledged |= run_until_killed(tmp_path, first, commit, f"{point}:{nth}=kill")
        first = max(acknowledged, default=0) + 20
    check_store(tmp_path, payer, acknowledged)
    async with Shop(tmp_path) as shop:
        charged = shop.channel(payer).charged
        for seq, body in list(acknowledged.items())[-5:]:
            payer.make_session(shop.paywall._exchange.offered(shop.clock.now_s).x25519, 1)
            repeat = Payer("killed")
            repeat.open_action(
                shop.paywall._exchange.offered(shop.clock.now_s).x25519, shop.clock.now_s
            )
            again = await shop.pay(repeat, seq)
            assert (again.status, again.body.decode()) == (200, body)
        assert shop.channel(payer).charged == charged
        assert not shop.served


def check_store(folder: Path, payer: Payer, acknowledged: dict[int, str]) -> None:
    store = SqliteChannelStore(folder / "seller.sqlite", PAYEE)
    found = store.channel(payer.id)
    assert found is not None
    rows = store._reader.execute("SELECT seq, units FROM charge").fetchall()
    charged = dict(rows)
    assert len(charged) == len(rows)
    assert set(acknowledged) <= set(charged)
    assert found.row.charged == sum(charged.values())
    assert found.row.redeemed <= found.row.charged
    lane = store.lane(found.row.number, 0)
    assert lane is not None
    assert lane.units == found.row.charged
    assert store._reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()
