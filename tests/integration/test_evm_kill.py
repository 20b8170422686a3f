"""A rail whose process is killed around signing, sending or closing pays everyone once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from tests.integration import evm_payer
from tests.integration.evm_world import CONFIRMATIONS, EvmWorld

pytestmark = [pytest.mark.network, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
HELD = 100_000
PAYMENTS = 4
POINTS = (
    "node.evm.claim.after",
    "node.evm.sign.after",
    "node.evm.journal.after",
    "node.evm.send.before",
    "node.evm.send.after",
    "node.evm.outcome.before",
    "node.evm.outcome.after",
)


@pytest.fixture
async def world(ethereum: EthereumDevnet) -> AsyncIterator[EvmWorld]:
    world = EvmWorld(ethereum)
    await world.hold(HELD)
    yield world
    await world.close()


async def run(folder: Path, faults: str) -> int:
    environ = {**os.environ, "AISA_DEVNET": "1", "AISA_FAULTS": faults}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(evm_payer.__file__)), str(folder), cwd=ROOT, env=environ
    )
    return await process.wait()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_killed_anywhere_everyone_is_paid_once(
    world: EvmWorld, tmp_path: Path, seed: int
) -> None:
    source = random.Random(seed)
    targets = [world.stranger() for _ in range(PAYMENTS)]
    plan = {
        "network": world.devnet.network,
        "asset": world.token.asset,
        "url": world.devnet.url,
        "seed": world.seed.hex(),
        "confirmations": CONFIRMATIONS,
        "to": targets,
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    armed = [f"{point}:{source.randint(1, PAYMENTS)}=kill" for point in source.sample(POINTS, 2)]
    async with world.pulsing():
        codes = [await run(tmp_path, faults) for faults in (*armed, "")]
    assert codes[-1] == 0
    assert -9 in codes, armed
    assert [await world.units(to) for to in targets] == [100 + n for n in range(PAYMENTS)], armed
    assert await world.units(world.treasury) == HELD - sum(100 + n for n in range(PAYMENTS))
