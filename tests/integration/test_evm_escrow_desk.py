"""The desk that claims for sellers: for the fee's sake, for the risk's, and before a payer has left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.protocol.escrow import ChannelConfig
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.settlement import Settled, Unknown
from aisa.settlement.claim_desk import ClaimDesk, ClaimRules, Earned
from aisa.settlement.evm.escrow_abi import approve_data, deposit_data
from tests.integration.escrow_world import DELAY_S, EscrowWorld
from tests.integration.evm_world import now_ms

pytestmark = pytest.mark.network

RISK = 10_000
FEE_UNITS = 5
"""What claiming one channel costs, in units; half a percent of a thousand."""


@pytest.fixture
async def world(ethereum: EthereumDevnet) -> AsyncIterator[EscrowWorld]:
    world = EscrowWorld(ethereum)
    yield world
    await world.close()


def desk(world: EscrowWorld, **rules: Any) -> ClaimDesk:
    return ClaimDesk(world.escrow, lambda _, __: FEE_UNITS, clock=now_ms, rules=ClaimRules(**rules))


def earned(world: EscrowWorld, config: ChannelConfig, units: int, **more: Any) -> Earned:
    return Earned(world.claim(config, units), **{"risk_units": RISK, **more})


async def test_small_change_waits_and_what_outgrows_its_fee_is_claimed(world: EscrowWorld) -> None:
    small, big = await world.opened(5_000), await world.opened(5_000)
    at = desk(world)
    async with world.pulsing():
        (result,) = await at.step([earned(world, small, 999), earned(world, big, 1_000)])
        assert isinstance(result.outcome, Settled)
        assert await world.channels(small, big) == [(5_000, 0), (5_000, 1_000)]
        both = [earned(world, small, 999), earned(world, big, 1_999)]
        assert await at.step(both) == []
        assert await desk(world).step(both) == []  # nor does another that remembers nothing
        later = [earned(world, small, 1_000), earned(world, big, 2_000)]
        (result,) = await at.step(later)
    assert len(result.channels) == 2
    assert await world.channels(small, big) == [(5_000, 1_000), (5_000, 2_000)]


async def test_risk_and_deadline_do_not_wait_for_the_fee(world: EscrowWorld) -> None:
    risky, timely, idle = [await world.opened() for _ in range(3)]
    now_s = now_ms() // 1000
    async with world.pulsing():
        results = await desk(world, claims_max=1).step(
            [
                earned(world, risky, 50, risk_units=50),
                earned(world, timely, 50, deadline_s=now_s + 3_500),
                earned(world, idle, 50, deadline_s=now_s + 4_000),
            ]
        )
    assert [type(one.outcome) for one in results] == [Settled, Settled]
    claimed = [total for _, total in await world.channels(risky, timely, idle)]
    assert claimed == [50, 50, 0]


async def test_a_payer_that_leaves_is_claimed_before_it_has_left(world: EscrowWorld) -> None:
    leaver, stayer = await world.opened(), await world.opened()
    holding = [earned(world, leaver, 400), earned(world, stayer, 300)]
    at = desk(world)
    async with world.pulsing():
        assert await at.step(holding) == []
        world.leave(leaver, 1_000)
        (result,) = await at.step(holding)
        channel = leaver.channel_id(world.escrow.domain)
        assert result.channels == (channel,)
        assert isinstance(result.outcome, Settled)
        assert at.leaving == {channel}
        world.devnet.control.pass_time(DELAY_S)
        world.left(leaver)
        world.settle_blocks()
        assert await at.step(holding) == []
        assert at.leaving == frozenset()
    assert await world.channels(leaver, stayer) == [(400, 400), (1_000, 0)]


async def test_one_that_left_with_the_money_does_not_spoil_the_others(world: EscrowWorld) -> None:
    """Also found by a desk that was not there when the withdrawal began."""
    gone, partly, late, good = [await world.opened() for _ in range(4)]
    for config, units in ((gone, 1_000), (partly, 800), (late, 1_000)):
        world.leave(config, units)
    world.devnet.control.pass_time(DELAY_S)
    world.left(gone)
    world.left(partly)
    world.settle_blocks()
    at = desk(world)
    every = [earned(world, one, 500, risk_units=100) for one in (gone, partly, late, good)]
    async with world.pulsing():
        results = await at.step(every)
        assert all(isinstance(one.outcome, Settled) for one in results)
        channels = await world.channels(gone, partly, late, good)
    assert channels == [(0, 0), (200, 200), (1_000, 500), (1_000, 500)]


async def test_a_row_that_only_the_chain_refuses_is_left_out(world: EscrowWorld) -> None:
    good, other = await world.opened(), await world.opened()
    wallet = world.stranger()
    config = world.config(payer=bytes.fromhex(wallet[2:]), payer_authorizer=bytes(20))
    world.devnet.control.set_code(wallet, wallet_code("1626ba7e"))
    world.give(config.payer, 1_000)
    world.devnet.control.set_balance(wallet, 10**18)
    escrow = format_address(world.escrow_settings.contract)
    with world.devnet.control.impersonating(wallet):
        approve = approve_data(world.escrow_settings.contract, 1_000)
        for to, data in (
            (world.contract, approve),
            (escrow, deposit_data(config, 1_000, bytes(20), b"")),
        ):
            tx = {"from": wallet, "to": to, "data": format_bytes(data)}
            world.devnet.rpc.wait_for(str(world.devnet.rpc.call("eth_sendTransaction", tx)))
    world.settle_blocks()
    odd = Earned(world.claim(config, 50)._replace(signature=b"mine"), risk_units=10)
    rows = [odd, *(earned(world, one, 60, risk_units=10) for one in (good, other))]
    async with world.pulsing():
        await world.escrow.check_claims([odd.claim])  # a contract wallet's own word counts
        world.devnet.control.set_code(wallet, wallet_code("deadbeef"))
        results = await desk(world).step(rows)
        assert sum(len(one.channels) for one in results if one.error) == 1
        assert await world.channels(config, good, other) == [(1_000, 0), (1_000, 60), (1_000, 60)]
        world.devnet.control.set_code(wallet, wallet_code("1626ba7e"))
        (result,) = await desk(world).step(rows)
    assert isinstance(result.outcome, Settled)
    assert await world.channels(config) == [(1_000, 50)]


async def test_what_is_under_way_is_not_claimed_again(world: EscrowWorld) -> None:
    config = await world.opened()
    world.rail = world.made(send_timeout_s=0.1)
    at, holding = desk(world), [earned(world, config, 400, risk_units=100)]
    (result,) = await at.step(holding)
    assert isinstance(result.outcome, Unknown)
    assert await at.step(holding) == []
    (again,) = await desk(world).step(holding)  # one that remembers nothing finds the same chain tx
    assert again.id == result.id
    world.settle_blocks()
    assert await at.step(holding) == []
    assert await at.step(holding) == []
    assert await world.channels(config) == [(1_000, 400)]
    assert world.devnet.rpc.number("eth_getTransactionCount", world.treasury, "latest") == 2


def wallet_code(magic: str) -> str:
    """A contract that answers whatever it is asked with one word."""
    return "0x7f" + magic + "00" * 28 + "60005260206000f3"
