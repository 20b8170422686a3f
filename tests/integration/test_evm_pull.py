"""Signed transfers on a real EVM chain: checked without a trace, carried out exactly once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.errors import IdempotencyMismatch, InvalidRequest
from aisa.identity import EvmKey
from aisa.protocol.eip712 import Domain
from aisa.protocol.evm_address import format_address, parse_address
from aisa.protocol.evm_authorization import Authorization
from aisa.settlement import Failed, FailureReason, Outgoing, Settled, Unknown
from aisa.settlement.evm import EvmRail
from aisa.settlement.evm.erc20 import authorized_transfer_data
from aisa.settlement.pull import PullProblem, SignedTransfer
from tests.integration.evm_world import CONFIRMATIONS, EvmWorld, now_ms

pytestmark = pytest.mark.network

PAYER = EvmKey(b"\x31" * 32)


@pytest.fixture(params=["aiUSD", "test-USDC"])
async def world(ethereum: EthereumDevnet, request: Any) -> AsyncIterator[EvmWorld]:
    world = EvmWorld(ethereum, request.param)
    world.devnet.faucet.give_token(world.token.symbol, format_address(PAYER.address), 1_000)
    yield world
    await world.close()


def rail_of(world: EvmWorld) -> EvmRail:
    assert isinstance(world.rail, EvmRail)
    return world.rail


async def signed(world: EvmWorld, units: int = 250, **changes: Any) -> SignedTransfer:
    """A transfer that the payer signed in the domain that the token's contract tells."""
    domain = await rail_of(world)._contracts.domain(world.token)
    assert isinstance(domain, Domain)
    payee = world.stranger()
    now_s = now_ms() // 1000
    transfer = replace(
        SignedTransfer(
            token=world.token,
            payer=format_address(PAYER.address),
            payee=payee,
            units=units,
            valid_after_s=0,
            valid_before_s=now_s + 600,
            nonce=secrets.token_bytes(32),
            signature=b"",
        ),
        **changes,
    )
    return replace(
        transfer, signature=PAYER.sign(domain.digest(authorization(transfer).transfer_hash()))
    )


def authorization(transfer: SignedTransfer) -> Authorization:
    return Authorization(
        parse_address(transfer.payer),
        parse_address(transfer.payee),
        transfer.units,
        transfer.valid_after_s,
        transfer.valid_before_s,
        transfer.nonce,
    )


async def used(world: EvmWorld) -> int:
    return world.devnet.rpc.number("eth_getTransactionCount", world.treasury, "latest")


async def test_a_good_one_is_checked_without_a_trace_and_settled(world: EvmWorld) -> None:
    transfer = await signed(world)
    assert (await rail_of(world).pull.check(transfer)).is_valid
    assert (await used(world), world.journal.bodies) == (0, {})
    async with world.pulsing():
        settled = await rail_of(world).pull.settle(transfer)
    assert isinstance(settled, Settled)
    assert await world.units(transfer.payee) == 250
    checked = await rail_of(world).pull.check(transfer)
    assert checked.problem is PullProblem.NONCE_USED
    await world.restart()
    assert await rail_of(world).pull.settle(transfer) == settled
    found = await rail_of(world).pull.look_up_transfer(transfer)
    assert found == settled
    assert await used(world) == 1


async def test_what_is_wrong_is_told_and_never_sent(world: EvmWorld) -> None:
    now_s = now_ms() // 1000
    good = await signed(world)
    stranger = world.stranger()
    foreign = replace(world.token, symbol="else")
    wrong = {
        PullProblem.SIGNATURE: [
            replace(good, units=251),
            replace(good, payee=stranger),
            replace(good, payer=stranger),
            replace(good, nonce=bytes(32)),
            replace(good, valid_before_s=now_s + 10**6),
            replace(good, signature=good.signature[:64] + bytes((good.signature[64] ^ 7,))),
            replace(good, signature=bytes(65)),
        ],
        PullProblem.EXPIRED: [
            await signed(world, valid_before_s=now_s - 1),
            await signed(world, valid_before_s=now_s + 3),
        ],
        PullProblem.TOO_EARLY: [await signed(world, valid_after_s=now_s + 300)],
        PullProblem.BALANCE: [await signed(world, 1_001)],
        PullProblem.UNSUPPORTED: [replace(good, token=foreign)],
        PullProblem.MALFORMED: [
            replace(good, units=0),
            replace(good, nonce=b"x"),
            replace(good, payee="nobody"),
            replace(good, valid_before_s=-1),
        ],
    }
    for problem, transfers in wrong.items():
        for transfer in transfers:
            assert (await rail_of(world).pull.check(transfer)).problem is problem, transfer
            with pytest.raises(InvalidRequest):
                await rail_of(world).pull.settle(transfer)
    assert (await used(world), world.journal.bodies) == (0, {})


async def test_a_thousand_at_once_are_one_chain_tx(world: EvmWorld) -> None:
    transfer = await signed(world)
    async with world.pulsing():
        outcomes = await asyncio.gather(
            *(rail_of(world).pull.settle(transfer) for _ in range(1_000))
        )
    assert len(set(outcomes)) == 1
    assert isinstance(outcomes[0], Settled)
    assert (await used(world), await world.units(transfer.payee)) == (1, 250)


async def test_one_nonce_is_for_one_transfer(world: EvmWorld) -> None:
    first = await signed(world)
    second = await signed(world, 100, nonce=first.nonce)
    async with world.pulsing():
        outcomes = await asyncio.gather(
            rail_of(world).pull.settle(first),
            rail_of(world).pull.settle(second),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in outcomes) == ["IdempotencyMismatch", "Settled"]
        loser = second if isinstance(outcomes[0], Settled) else first
        with pytest.raises(IdempotencyMismatch):
            await rail_of(world).pull.settle(loser)
    assert await world.units(first.payee) + await world.units(second.payee) in {250, 100}


async def test_a_bad_copy_does_not_spoil_the_good_one(world: EvmWorld) -> None:
    good = await signed(world)
    bad = replace(good, signature=bytes(65))
    async with world.pulsing():
        outcomes = await asyncio.gather(
            rail_of(world).pull.settle(bad),
            rail_of(world).pull.settle(good),
            return_exceptions=True,
        )
    assert isinstance(outcomes[0], InvalidRequest)
    assert isinstance(outcomes[1], Settled)


async def test_who_is_overtaken_by_another_sender_still_sees_it_settled(world: EvmWorld) -> None:
    transfer = await signed(world)
    rail = world.made(send_timeout_s=0.1)
    await world.disturb("delay")
    assert isinstance(await rail.pull.settle(transfer), Unknown)
    data = "0x" + authorized_transfer_data(authorization(transfer), transfer.signature).hex()
    tx = {"from": world.devnet.card.roles["faucet"], "to": world.contract, "data": data}
    other = str(world.devnet.rpc.call("eth_sendTransaction", tx))
    world.devnet.rpc.wait_for(other)
    await world.land_delayed()
    world.mine(CONFIRMATIONS)
    outcome = await rail.pull.look_up_transfer(transfer)
    assert outcome == Settled(other)
    assert await rail.pull.settle(transfer) == outcome
    assert await world.units(transfer.payee) == 250


async def test_one_whose_payer_spent_the_money_first_has_failed(world: EvmWorld) -> None:
    transfer = await signed(world, 1_000)
    rail = world.made(send_timeout_s=0.1)
    await world.disturb("delay")
    assert isinstance(await rail.pull.settle(transfer), Unknown)
    spent = await signed(world, 600)
    data = "0x" + authorized_transfer_data(authorization(spent), spent.signature).hex()
    tx = {"from": world.devnet.card.roles["faucet"], "to": world.contract, "data": data}
    world.devnet.rpc.wait_for(str(world.devnet.rpc.call("eth_sendTransaction", tx)))
    await world.land_delayed()
    world.mine(CONFIRMATIONS)
    failed = await rail.pull.look_up_transfer(transfer)
    assert isinstance(failed, Failed)
    assert failed.reason is FailureReason.REFUSED
    assert await world.units(transfer.payee) == 0


async def test_payments_out_and_signed_transfers_share_one_queue(world: EvmWorld) -> None:
    await world.hold(500)
    to = world.stranger()
    transfers = [await signed(world, 100) for _ in range(4)]
    async with world.pulsing():
        outcomes = await asyncio.gather(
            *(rail_of(world).pull.settle(one) for one in transfers),
            *(world.rail.send(Outgoing(f"w{n}", world.token, 50, to)) for n in range(4)),
        )
    assert all(isinstance(one, Settled) for one in outcomes)
    assert await world.units(to) == 200
    assert await used(world) == 8


async def test_a_token_without_eip_3009_is_not_supported(ethereum: EthereumDevnet) -> None:
    world = EvmWorld(ethereum, "test-USDT")
    transfer = SignedTransfer(
        world.token,
        format_address(PAYER.address),
        world.stranger(),
        1,
        0,
        now_ms() // 1000 + 60,
        bytes(32),
        bytes(65),
    )
    checked = await rail_of(world).pull.check(transfer)
    assert checked.problem is PullProblem.UNSUPPORTED
    await world.close()
