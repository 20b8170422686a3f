"""A process that claims channels and pays their receiver, and may be killed at any failpoint."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable
from pathlib import Path

from aisa import faults
from aisa.ledger.sqlite import SqliteStore
from aisa.money import Token
from aisa.payment.journal import RecordAddresses, RecordJournal
from aisa.protocol.escrow import ChannelConfig
from aisa.protocol.x402.batch import Claim
from aisa.settlement import Outcome, Settled, Unknown
from aisa.settlement.evm import EscrowSettings, EvmRail, EvmSettings
from aisa.settlement.evm.escrow import EvmEscrow
from tests.integration.evm_payer import now_ms


async def done(escrow: EvmEscrow, id_: str, work: Awaitable[Outcome]) -> None:
    outcome = await work
    while isinstance(outcome, Unknown):
        outcome = await escrow.look_up(id_)
    assert isinstance(outcome, Settled), outcome


async def claim(escrow: EvmEscrow, token: Token, rows: list[Claim]) -> None:
    pairs = [rows[at : at + 2] for at in range(0, len(rows), 2)]
    names = [f"claim-{number}" for number in range(len(pairs))]
    await asyncio.gather(
        *(
            done(escrow, name, escrow.claim(name, pair))
            for name, pair in zip(names, pairs, strict=True)
        )
    )
    await done(escrow, "settle", escrow.settle("settle", rows[0].config.receiver, token))


async def main(path: Path) -> None:
    faults.arm(os.environ)
    plan = json.loads((path / "plan.json").read_text())
    token = Token("aiUSD", "test", plan["network"], plan["asset"], 6, "aiUSD")
    settings = EvmSettings(
        confirmations=plan["confirmations"], poll_s=0.02, repeat_s=0.2, send_timeout_s=5.0
    )
    rows = [
        Claim(ChannelConfig.unpack(bytes.fromhex(one)), ceiling, bytes.fromhex(signature), units)
        for one, ceiling, signature, units in plan["claims"]
    ]
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
            escrow=EscrowSettings(),
        ) as rail,
    ):
        assert rail.escrow is not None
        await claim(rail.escrow, token, rows)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
