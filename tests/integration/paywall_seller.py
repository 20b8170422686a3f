"""A seller for kill tests: charges calls in memory-made batches and prints each one it acknowledged.

It opens the channel of `paying.Payer("killed")`, or goes on with it, and pays seq after seq, eight
at a time, until it is killed. One line `seq units` is printed after each durable charge.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from aisa import faults
from aisa.paywall import PaywallOptions
from tests.integration.paying import Payer, Shop, call, request_of

PARALLEL = 8


async def main(folder: Path, first: int, last: int, commit: str) -> None:
    payer = Payer("killed")
    options = PaywallOptions(commit=commit)  # type: ignore[arg-type]
    async with Shop(folder, options=options, cap=10**9) as shop:
        key = request_of(await call(shop.app)).payee_x25519
        action = payer.open_action(key, shop.clock.now_s, ceiling=1_000_000)
        shop.paywall.till.open(action, shop.clock())
        seqs = iter(range(first, last))

        async def pays() -> None:
            for seq in seqs:
                got = await shop.pay(payer, seq)
                assert got.status == 200, got
                os.write(1, b"%d %s\n" % (seq, got.body))
                if seq % 20 == 0:
                    await shop.paywall.redeem()

        await asyncio.gather(*(pays() for _ in range(PARALLEL)))
    os.write(1, b"done\n")


if __name__ == "__main__":
    faults.arm(os.environ)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
