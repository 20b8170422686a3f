"""SIGKILL at named points of an x402 sale: a repeat gets its answer, and it is paid for once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aisa.paywall import TrustedFacilitator
from aisa.paywall.revenue import revenue
from aisa.protocol.x402 import format_payload
from tests.integration.paying import PAYEE
from tests.integration.x402_shop import FakeFacilitator, X402Shop, offer, settled_of

ROOT = Path(__file__).parents[2]
POINTS = {
    "authorization": [
        "seller.sale.before:1",
        "seller.sale.after:1",
        "seller.settle.before:1",
        "seller.settle.after:1",
        "seller.sale.before:2",
        "seller.sale.after:2",
        "seller.send.before:1",
    ],
    "upfront": [
        "seller.sale.after:1",
        "seller.settle.after:1",
        "seller.sale.after:2",
        "seller.sale.before:3",
        "seller.sale.after:3",
    ],
}


def kill_at(folder: Path, url: str, flow: str, header: str, fault: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.x402_seller", str(folder), url, flow, header],
        cwd=ROOT,
        env={
            **os.environ,
            "AISA_DEVNET": "1",
            "AISA_FAULTS": f"{fault}=kill",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, ""), done.stderr


@pytest.mark.parametrize(
    ("flow", "point"), [(flow, point) for flow, points in POINTS.items() for point in points]
)
async def test_killed_at(tmp_path: Path, flow: str, point: str) -> None:
    facilitator = FakeFacilitator()
    with facilitator.listening() as url:
        taken = offer(flow=flow, facilitators=[TrustedFacilitator(url, keeps_keys=True)])
        async with X402Shop(tmp_path / "other", facilitator, taken) as shop:
            wanted = (await shop.offered()).accepts[0]
            header = format_payload(shop.wallet.pay(wanted))
        kill_at(tmp_path, url, flow, header, point)
        async with X402Shop(tmp_path, facilitator, taken, real_http=True) as again:
            told = await again.pay(header)
            assert (told.status, told.body) == (200, b'{"n":1}')
            assert settled_of(told).transaction == "0xfeed"
            assert (await again.pay(header)).body == told.body
            assert len(facilitator.settled) == 1
            assert not again.paywall.sales._store.settling(b"", 9)
    sales = list(revenue(tmp_path / "seller.sqlite", PAYEE, from_ms=0, until_ms=2**50))
    assert [sale.earned for sale in sales] == [100]
