"""Signed transfers through Permit2, for a token that takes no signatures itself."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.errors import InvalidRequest
from aisa.identity import EvmKey
from aisa.protocol.eip712 import UINT256_MAX, address_word, chain_id_of, uint_word
from aisa.protocol.evm_address import format_address, parse_address
from aisa.protocol.permit2 import PERMIT2, Permit, TokenPermission
from aisa.protocol.x402.exact import EXACT_PROXY, Permit2Payload, TransferWitness
from aisa.settlement import Settled, Unknown
from aisa.settlement.evm import EvmRail
from aisa.settlement.evm.erc20 import call_data
from aisa.settlement.evm.token_contract import contract_of
from aisa.settlement.pull import PullProblem, SignedTransfer
from tests.integration.evm_world import CONFIRMATIONS, EvmWorld, now_ms

pytestmark = pytest.mark.network

PAYER = EvmKey(b"\x32" * 32)
WHO = format_address(PAYER.address)


@pytest.fixture
async def world(ethereum: EthereumDevnet) -> AsyncIterator[EvmWorld]:
    world = EvmWorld(ethereum, "test-USDT")
    world.devnet.faucet.give_token("test-USDT", WHO, 1_000)
    yield world
    await world.close()


def rail_of(world: EvmWorld) -> EvmRail:
    assert isinstance(world.rail, EvmRail)
    return world.rail


def approve(world: EvmWorld, units: int = UINT256_MAX) -> None:
    data = call_data("approve(address,uint256)", address_word(PERMIT2), uint_word(units))
    world.devnet.control.set_balance(WHO, 10**18)
    with world.devnet.control.impersonating(WHO):
        tx = {"from": WHO, "to": world.contract, "data": "0x" + data.hex()}
        world.devnet.rpc.wait_for(str(world.devnet.rpc.call("eth_sendTransaction", tx)))


def signed(world: EvmWorld, units: int = 250, **changes: Any) -> SignedTransfer:
    transfer = replace(
        SignedTransfer(
            token=world.token,
            payer=WHO,
            payee=world.stranger(),
            units=units,
            valid_after_s=0,
            valid_before_s=now_ms() // 1000 + 600,
            nonce=secrets.token_bytes(32),
            signature=b"",
            spender=format_address(EXACT_PROXY),
        ),
        **changes,
    )
    payload = Permit2Payload(
        PAYER.address,
        TokenPermission(contract_of(transfer.token), transfer.units),
        Permit(EXACT_PROXY, int.from_bytes(transfer.nonce), transfer.valid_before_s),
        TransferWitness(parse_address(transfer.payee), transfer.valid_after_s),
        b"",
    )
    return replace(transfer, signature=PAYER.sign(payload.digest(chain_id_of(world.token.network))))


async def used(world: EvmWorld) -> int:
    return world.devnet.rpc.number("eth_getTransactionCount", world.treasury, "latest")


async def test_it_settles_once_after_one_approval(world: EvmWorld) -> None:
    transfer = signed(world)
    checked = await rail_of(world).pull.check(transfer)
    assert checked.problem is PullProblem.ALLOWANCE
    approve(world)
    assert (await rail_of(world).pull.check(transfer)).is_valid
    assert await used(world) == 0
    async with world.pulsing():
        outcomes = await asyncio.gather(*(rail_of(world).pull.settle(transfer) for _ in range(50)))
    assert isinstance(outcomes[0], Settled)
    assert set(outcomes) == {outcomes[0]}
    assert (await used(world), await world.units(transfer.payee)) == (1, 250)
    assert (await rail_of(world).pull.check(transfer)).problem is PullProblem.NONCE_USED
    await world.restart()
    assert await rail_of(world).pull.settle(transfer) == outcomes[0]


async def test_what_is_wrong_is_told_and_never_sent(world: EvmWorld) -> None:
    approve(world)
    good, now_s, stranger = signed(world), now_ms() // 1000, world.stranger()
    wrong = {
        PullProblem.SIGNATURE: [
            replace(good, units=251),
            replace(good, payee=stranger),
            replace(good, payer=stranger),
            replace(good, nonce=bytes(32)),
            replace(good, valid_after_s=1),
        ],
        PullProblem.EXPIRED: [signed(world, valid_before_s=now_s - 1)],
        PullProblem.TOO_EARLY: [signed(world, valid_after_s=now_s + 300)],
        PullProblem.BALANCE: [signed(world, 1_001)],
        PullProblem.UNSUPPORTED: [replace(good, spender=stranger)],
        PullProblem.MALFORMED: [replace(good, spender="nobody"), replace(good, signature=b"x")],
    }
    for problem, transfers in wrong.items():
        for transfer in transfers:
            assert (await rail_of(world).pull.check(transfer)).problem is problem, transfer
            with pytest.raises(InvalidRequest):
                await rail_of(world).pull.settle(transfer)
    assert (await used(world), world.journal.bodies) == (0, {})


async def test_a_chain_without_permit2_is_not_supported(world: EvmWorld) -> None:
    approve(world)
    world.devnet.control.set_code(format_address(EXACT_PROXY), "0x")
    checked = await rail_of(world).pull.check(signed(world))
    assert checked.problem is PullProblem.UNSUPPORTED


async def test_who_is_overtaken_by_another_sender_still_sees_it_settled(world: EvmWorld) -> None:
    approve(world)
    transfer = signed(world)
    rail = world.made(send_timeout_s=0.1)
    await world.disturb("delay")
    assert isinstance(await rail.pull.settle(transfer), Unknown)
    entry = rail.pull._call(transfer)
    tx = {
        "from": world.devnet.card.roles["faucet"],
        "to": "0x" + entry.to.hex(),
        "data": "0x" + entry.data.hex(),
    }
    other = str(world.devnet.rpc.call("eth_sendTransaction", tx))
    world.devnet.rpc.wait_for(other)
    await world.land_delayed()
    world.mine(CONFIRMATIONS)
    assert await rail.pull.look_up_transfer(transfer) == Settled(other)
    assert await world.units(transfer.payee) == 250
