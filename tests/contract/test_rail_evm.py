"""The rail suite over a real EVM: anvil, and tokens with and without EIP-3009."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from tests.contract.rail_suite import RailSuite
from tests.integration.evm_world import EvmWorld

pytestmark = pytest.mark.network


@contextlib.asynccontextmanager
async def running(devnet: EthereumDevnet, symbol: str) -> AsyncIterator[EvmWorld]:
    world = EvmWorld(devnet, symbol)
    async with world.pulsing():
        yield world
    await world.close()


class TestEvmRail(RailSuite):
    @pytest.fixture
    async def world(self, ethereum: EthereumDevnet) -> AsyncIterator[EvmWorld]:
        async with running(ethereum, "aiUSD") as world:
            yield world


class TestEvmRailWithoutAuthorizations(RailSuite):
    @pytest.fixture
    async def world(self, ethereum: EthereumDevnet) -> AsyncIterator[EvmWorld]:
        async with running(ethereum, "test-USDT") as world:
            yield world
