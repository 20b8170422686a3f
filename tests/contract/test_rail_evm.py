"""The rail suite over a real EVM: anvil, and tokens with and without EIP-3009."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from tests.contract.rail_suite import RailSuite
from tests.integration.evm_world import EvmWorld

pytestmark = pytest.mark.network


@contextlib.asynccontextmanager
async def pulsing(devnet: EthereumDevnet, symbol: str) -> AsyncIterator[EvmWorld]:
    world = EvmWorld(devnet, symbol)
    pulse = asyncio.create_task(world.pulse())
    yield world
    pulse.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pulse
    await world.close()


class TestEvmRail(RailSuite):
    @pytest.fixture
    async def world(self, ethereum: EthereumDevnet) -> AsyncIterator[EvmWorld]:
        async with pulsing(ethereum, "aiUSD") as world:
            yield world


class TestEvmRailWithoutAuthorizations(RailSuite):
    @pytest.fixture
    async def world(self, ethereum: EthereumDevnet) -> AsyncIterator[EvmWorld]:
        async with pulsing(ethereum, "test-USDT") as world:
            yield world
