"""A process that is killed around the signing or sending of a claim claims everything once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.protocol.evm_address import format_address
from tests.integration import evm_claimer
from tests.integration.escrow_world import EscrowWorld
from tests.integration.evm_world import CONFIRMATIONS

pytestmark = [pytest.mark.network, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
CHANNELS = 4
CHAIN_TXS = CHANNELS // 2 + 1
BETWEEN_SIGN_AND_SEND = ("node.evm.sign.after", "node.evm.journal.after", "node.escrow.write.after")
POINTS = (
    "node.escrow.write.before",
    "node.escrow.send.before",
    "node.evm.send.before",
    "node.evm.send.after",
    "node.escrow.send.after",
    "node.evm.outcome.before",
)


async def run(folder: Path, faults: str) -> int:
    environ = {**os.environ, "AISA_DEVNET": "1", "AISA_FAULTS": faults, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(evm_claimer.__file__)), str(folder), cwd=ROOT, env=environ
    )
    return await process.wait()


@pytest.mark.parametrize("seed", [1])
async def test_killed_anywhere_everything_is_claimed_once(
    ethereum: EthereumDevnet, tmp_path: Path, seed: int
) -> None:
    world = EscrowWorld(ethereum)
    configs = [await world.opened() for _ in range(CHANNELS)]
    before = world.devnet.rpc.number("eth_getTransactionCount", world.treasury, "latest")
    claims = [world.claim(config, 100 + n, 500) for n, config in enumerate(configs)]
    plan = {
        "network": world.devnet.network,
        "asset": world.token.asset,
        "url": world.devnet.url,
        "seed": world.seed.hex(),
        "confirmations": CONFIRMATIONS,
        "claims": [
            (one.config.pack().hex(), one.ceiling, one.signature.hex(), one.claimed)
            for one in claims
        ],
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    source = random.Random(seed)
    points = (source.choice(BETWEEN_SIGN_AND_SEND), source.choice(POINTS))
    armed = [f"{point}:{source.randint(1, 2)}=kill" for point in points]
    async with world.pulsing():
        codes = [await run(tmp_path, faults) for faults in (*armed, "")]
    assert codes[-1] == 0
    assert codes[0] == -9, armed
    assert await world.channels(*configs) == [(1_000, 100 + n) for n in range(CHANNELS)], armed
    paid = sum(100 + n for n in range(CHANNELS))
    assert await world.units(format_address(world.receiver.address)) == paid
    after = world.devnet.rpc.number("eth_getTransactionCount", world.treasury, "latest")
    assert after - before == CHAIN_TXS, armed
    await world.close()
