"""Payments out on a real EVM chain: stuck, cancelled, swept; and servers that die, hang and lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.devnet.ethereum.proxy import RpcProxy
from aisa.errors import ConfigInvalid, RailError, RailUnavailable
from aisa.settlement import Failed, FailureReason, Settled, Unknown
from aisa.settlement.evm import EvmRail
from aisa.settlement.evm.entry import parse_entry
from tests.integration.evm_world import CONFIRMATIONS, EvmWorld, out

pytestmark = pytest.mark.network

GWEI = 10**9


@pytest.fixture
async def world(ethereum: EthereumDevnet) -> AsyncIterator[EvmWorld]:
    world = EvmWorld(ethereum)
    await world.hold(10_000)
    yield world
    await world.close()


def entry_of(world: EvmWorld, id_: str) -> Any:
    return parse_entry(id_, world.journal.bodies[id_])


async def settled(world: EvmWorld, rail: EvmRail, id_: str) -> Any:
    """Look until the outcome is known, while blocks come."""
    for _ in range(200):
        outcome = await rail.look_up(id_)
        if not isinstance(outcome, Unknown):
            return outcome
        world.mine(1)
    raise AssertionError("its outcome stays unknown")


async def test_a_stuck_chain_tx_is_replaced_with_its_nonce_and_pays_once(world: EvmWorld) -> None:
    to = world.stranger()
    rail = world.made(send_timeout_s=0.1, replace_after_s=60)
    with world.devnet.control.held_mining():
        assert isinstance(await rail.send(out(world, "w", 70, to)), Unknown)
        world.devnet.control.set_base_fee(200 * GWEI)
        assert isinstance(await rail.look_up("w"), Unknown)
        assert len(entry_of(world, "w").attempts) == 1, "it does not wait long yet"
        for waits in (1, 2):
            world.ahead_ms += 61_000
            await rail.look_up("w")
            assert len(entry_of(world, "w").attempts) == waits + 1
        first, *_, last = entry_of(world, "w").attempts
        assert last.fee_wei * 64 >= first.fee_wei * 81, "an eighth more each time"
    outcome = await settled(world, rail, "w")
    assert outcome == Settled(last.hash)
    assert await world.units(to) == 70
    assert await rail.send(out(world, "w", 70, to)) == outcome


async def test_the_version_before_the_last_may_be_the_one_that_lands(world: EvmWorld) -> None:
    to = world.stranger()
    rail = world.made(send_timeout_s=0.1)
    await world.disturb("delay")
    await rail.send(out(world, "w", 70, to))
    world.ahead_ms += 61_000
    await rail.look_up("w")
    first, second = entry_of(world, "w").attempts
    world.wire.judge = None
    world.devnet.rpc.call("eth_sendRawTransaction", "0x" + first.raw.hex())
    assert await settled(world, rail, "w") == Settled(first.hash)
    assert await world.units(to) == 70
    with pytest.raises(RailError):
        world.devnet.rpc.call("eth_sendRawTransaction", "0x" + second.raw.hex())


async def test_what_waits_too_long_is_cancelled_and_later_ones_land(world: EvmWorld) -> None:
    to, other = world.stranger(), world.stranger()
    rail = world.made(send_timeout_s=0.1, give_up_after_s=600)
    await world.disturb("drop")
    assert isinstance(await rail.send(out(world, "w1", 70, to)), Unknown)
    assert isinstance(await rail.send(out(world, "w2", 80, other)), Unknown)
    world.ahead_ms += 601_000
    await rail.look_up("w1")
    failed = await settled(world, rail, "w1")
    assert isinstance(failed, Failed)
    assert failed.reason is FailureReason.EXPIRED
    assert "cancelled" in failed.detail
    assert isinstance(await settled(world, rail, "w2"), Settled)
    assert (await world.units(to), await world.units(other)) == (0, 80)
    assert await rail.send(out(world, "w1", 70, to)) == failed


async def test_one_that_is_looked_up_frees_the_one_it_waits_for(world: EvmWorld) -> None:
    rail = world.made(send_timeout_s=0.1)
    await world.disturb("drop")
    await rail.send(out(world, "w1", 70, world.stranger()))
    await rail.send(out(world, "w2", 80, world.stranger()))
    assert isinstance(await settled(world, rail, "w2"), Settled)
    assert isinstance(await settled(world, rail, "w1"), Settled)


async def test_a_nonce_that_a_lie_left_unused_is_filled(world: EvmWorld) -> None:
    to = world.stranger()
    async with RpcProxy(world.devnet.url) as proxy:
        rail = world.made([proxy.url], send_timeout_s=0.1)
        proxy.lie("eth_getTransactionCount", lambda found: hex(int(str(found), 16) + 1), count=2)
        assert isinstance(await rail.send(out(world, "w", 70, to)), Unknown)
        assert entry_of(world, "w").nonce == 1
        proxy.disarm()
        assert isinstance(await settled(world, rail, "w"), Settled)
    assert await world.units(to) == 70
    gaps = [one for one in world.journal.bodies if one.startswith("evm-gap:")]
    assert [entry_of(world, one).nonce for one in gaps] == [0]


async def test_a_nonce_used_by_another_is_a_proved_failure(world: EvmWorld) -> None:
    to = world.stranger()
    rail = world.made(send_timeout_s=0.1)
    await world.disturb("drop")
    await rail.send(out(world, "w", 70, to))
    with world.devnet.control.impersonating(world.treasury):
        tx = {"from": world.treasury, "to": world.stranger(), "value": "0x1"}
        world.devnet.rpc.wait_for(str(world.devnet.rpc.call("eth_sendTransaction", tx)))
    assert isinstance(await rail.look_up("w"), Unknown), "not final yet"
    world.mine(CONFIRMATIONS)
    async with RpcProxy(world.devnet.url) as proxy:
        doubtful = world.made([world.devnet.url, proxy.url])
        proxy.answer_status(503, count=None)
        assert isinstance(await doubtful.look_up("w"), Unknown), "every server must say so"
    failed = await rail.look_up("w")
    assert isinstance(failed, Failed)
    assert failed.reason is FailureReason.EXPIRED
    assert isinstance(await rail.send(out(world, "w2", 70, to)), Unknown)
    assert isinstance(await settled(world, rail, "w2"), Settled)
    assert await world.units(to) == 70


@pytest.mark.parametrize("fault", ["drop", "lose_answer", "cut_answer"])
async def test_a_server_that_dies_in_mid_send_costs_nothing(world: EvmWorld, fault: str) -> None:
    to = world.stranger()
    async with RpcProxy(world.devnet.url) as proxy, world.pulsing():
        rail = world.made([proxy.url], repeat_s=0.1)
        getattr(proxy, fault)("eth_sendRawTransaction")
        assert isinstance(await rail.send(out(world, "w", 70, to)), Settled)
    assert await world.units(to) == 70


async def test_a_server_that_hangs_is_left_for_the_next(world: EvmWorld) -> None:
    to = world.stranger()
    async with RpcProxy(world.devnet.url) as proxy, world.pulsing():
        urls = [proxy.url, world.devnet.url, world.devnet.url]
        rail = world.made(urls, rpc_timeout_s=0.3)
        proxy.hang(count=None)
        assert isinstance(await rail.send(out(world, "w", 70, to)), Settled)
        proxy.disarm()
    assert await world.units(to) == 70


async def test_a_server_that_hangs_in_mid_send_leaves_doubt_and_no_loss(world: EvmWorld) -> None:
    to = world.stranger()
    async with RpcProxy(world.devnet.url) as proxy:
        rail = world.made([proxy.url], rpc_timeout_s=0.3, send_timeout_s=0.1)
        proxy.hang("eth_sendRawTransaction", carried_out=True)
        assert isinstance(await rail.send(out(world, "w", 70, to)), Unknown)
        proxy.disarm()
        assert isinstance(await settled(world, rail, "w"), Settled)
    assert await world.units(to) == 70


@pytest.mark.parametrize(
    "lie",
    [
        lambda found: found and {**found, "status": "0x0"},
        lambda found: None,
        lambda found: found and {**found, "logs": []},
    ],
)
async def test_a_lie_about_a_receipt_proves_nothing(world: EvmWorld, lie: Any) -> None:
    to = world.stranger()
    async with RpcProxy(world.devnet.url) as proxy:
        rail = world.made([world.devnet.url, proxy.url], send_timeout_s=0.1)
        proxy.lie("eth_getTransactionReceipt", lie)
        await rail.send(out(world, "w", 70, to))
        world.mine(CONFIRMATIONS)
        for _ in range(3):
            assert isinstance(await rail.look_up("w"), Unknown)
        proxy.disarm()
        assert isinstance(await rail.look_up("w"), Settled)
    assert await world.units(to) == 70


async def test_gas_above_the_limit_is_not_paid(world: EvmWorld) -> None:
    rail = world.made(fee_wei_max=50 * GWEI, tip_wei_max=50 * GWEI)
    world.devnet.control.set_base_fee(80 * GWEI)
    world.mine(1)
    with pytest.raises(RailUnavailable, match="gas costs"):
        await rail.send(out(world, "w", 70, world.stranger()))
    assert not any(one == "w" for one in world.journal.bodies)


async def test_without_gas_money_nothing_is_sent_and_the_address_is_named(world: EvmWorld) -> None:
    world.devnet.control.set_balance(world.treasury, 10**12)
    with pytest.raises(RailUnavailable, match="may be needed for gas") as caught:
        await world.rail.send(out(world, "w", 70, world.stranger()))
    assert world.treasury in caught.value.hint
    assert world.journal.bodies == {}


async def test_what_the_token_would_refuse_is_never_signed(world: EvmWorld) -> None:
    def judge(_: str, call: dict[str, Any]) -> object:
        if call["method"] == "eth_estimateGas":
            return {"error": {"code": 3, "message": "execution reverted: frozen"}}
        return None

    world.wire.judge = judge
    with pytest.raises(RailError, match="frozen"):
        await world.rail.send(out(world, "w", 70, world.stranger()))
    assert world.journal.bodies == {}


async def test_many_small_deposits_are_swept_together(world: EvmWorld) -> None:
    for number in range(14):
        request = await world.rail.request(world.token, f"{number:064x}")
        world.devnet.faucet.give_token("aiUSD", request.address, 1_000 + number)
    world.mine(CONFIRMATIONS)
    total = 10_000 + sum(1_000 + number for number in range(14))
    to = world.stranger()
    async with world.pulsing():
        assert isinstance(await world.rail.send(out(world, "w", total, to)), Settled)
    assert await world.units(to) == total


async def test_sends_at_once_keep_their_order_and_all_land(world: EvmWorld) -> None:
    targets = [world.stranger() for _ in range(12)]
    async with world.pulsing():
        outcomes = await asyncio.gather(
            *(
                world.rail.send(out(world, f"w{number}", 10 + number, to))
                for number, to in enumerate(targets)
            )
        )
    assert all(isinstance(one, Settled) for one in outcomes)
    assert [await world.units(to) for to in targets] == [10 + number for number in range(12)]
    table = next(body for id_, body in world.journal.bodies.items() if "nonces" in id_)
    assert msgspec.json.decode(table) == {"floor": 12, "open": []}


async def test_another_seed_does_not_run_over_given_addresses(world: EvmWorld) -> None:
    await world.rail.request(world.token, "aa" * 32)
    world.seed = bytes(32)
    with pytest.raises(ConfigInvalid, match="not of this rail's seed"):
        await world.made().incoming(b"")
