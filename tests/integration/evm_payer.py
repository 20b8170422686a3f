"""A process that carries payments out over an EVM rail, and may be killed at any failpoint."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from aisa import faults
from aisa.ledger.sqlite import SqliteStore
from aisa.money import Token
from aisa.payment.journal import RecordAddresses, RecordJournal
from aisa.settlement import Outgoing, Settled, Unknown
from aisa.settlement.evm import EvmRail, EvmSettings


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def pay(rail: EvmRail, token: Token, number: int, to: str) -> None:
    """Send until the outcome is known, as the reconciler does."""
    id_ = f"pay-{number}"
    outcome = await rail.send(Outgoing(id_, token, 100 + number, to))
    while isinstance(outcome, Unknown):
        outcome = await rail.look_up(id_)
    assert isinstance(outcome, Settled), outcome
    os.write(1, f"{number} {outcome.reference}\n".encode())


async def main(path: Path) -> None:
    faults.arm(os.environ)
    plan = json.loads((path / "plan.json").read_text())
    token = Token("aiUSD", "test", plan["network"], plan["asset"], 6, "aiUSD")
    settings = EvmSettings(
        confirmations=plan["confirmations"], poll_s=0.02, repeat_s=0.2, send_timeout_s=5.0
    )
    async with (
        await SqliteStore.open(path / "ledger.sqlite", clock=now_ms) as store,
        EvmRail(
            network=plan["network"],
            tokens=[token],
            rpc_urls=[plan["url"]],
            seed=bytes.fromhex(plan["seed"]),
            journal=RecordJournal(store),
            addresses=RecordAddresses(store, plan["network"]),
            clock=now_ms,
            settings=settings,
        ) as rail,
    ):
        await asyncio.gather(
            *(pay(rail, token, number, to) for number, to in enumerate(plan["to"]))
        )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
