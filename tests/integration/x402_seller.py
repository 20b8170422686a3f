"""A seller for kill tests: serves one request that an x402 payment pays for, and prints the answer."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from aisa import faults
from aisa.paywall import TrustedFacilitator
from tests.integration.x402_shop import FakeFacilitator, X402Shop, offer


async def main(folder: Path, url: str, flow: str, header: str) -> None:
    taken = offer(flow=flow, facilitators=[TrustedFacilitator(url, keeps_keys=True)])
    async with X402Shop(folder, FakeFacilitator(), taken, real_http=True) as shop:
        told = await shop.pay(header)
        os.write(1, b"%d %s\n" % (told.status, told.body))


if __name__ == "__main__":
    faults.arm(os.environ)
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:5]))
