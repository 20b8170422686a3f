"""Redemption: what a payee who cheats, a thief and a cheating payer get for it."""

from __future__ import annotations

import asyncio

import pytest

from aisa.client import ChannelState, RedemptionClaim, RedemptionStatus
from aisa.payment.names import channel_account, fees
from aisa.protocol.aip import Voucher
from tests.unit.payment.bank import (
    ALICE,
    BOB,
    PAYER,
    THIEF,
    Bank,
    signed_voucher,
)

M = 1_000_000


@pytest.fixture
async def channel(bank: Bank) -> bytes:
    await bank.fund(ALICE, 5 * M)
    return (await bank.open(M)).row.channel


async def refused(bank: Bank, slug: str, channel: bytes, cumulative: int, **how: object) -> None:
    before = await bank.store.digest()
    result = await bank.redeem(channel, cumulative, **how)  # type: ignore[arg-type]
    assert result.status is RedemptionStatus.REFUSED
    assert result.problem is not None
    assert result.problem.slug == slug
    assert await bank.store.digest() == before


async def test_a_redemption_pays_the_payee_and_takes_the_fee(bank: Bank, channel: bytes) -> None:
    result = await bank.redeem(channel, 100_000)
    assert (result.status, result.redeemed, result.fee) == (
        RedemptionStatus.APPLIED,
        100_000,
        100,
    )
    assert await bank.units(BOB) == 99_900
    assert await bank.balance(fees("aiUSD")) == 100
    assert await bank.balance(channel_account(channel)) == 900_000


@pytest.mark.parametrize("pieces", [1, 7, 100, 1999])
async def test_splitting_a_redemption_changes_nothing(
    bank: Bank, channel: bytes, pieces: int
) -> None:
    step = 199_900 // pieces
    totals = [*range(step, 199_900, step), 199_900]
    claims = [RedemptionClaim(channel, total, signed_voucher(channel, 199_900)) for total in totals]
    await bank.redemptions.redeem(BOB.public_key, claims)
    assert await bank.balance(fees("aiUSD")) == 199
    assert await bank.units(BOB) == 199_900 - 199


async def test_a_redemption_sent_again_is_the_same_one(bank: Bank, channel: bytes) -> None:
    await bank.redeem(channel, 100_000)
    again = await bank.redeem(channel, 100_000, ceiling=500_000)
    assert (again.status, again.redeemed) == (RedemptionStatus.REPEATED, 100_000)
    await bank.redeem(channel, 300_000)
    older = await bank.redeem(channel, 100_000)
    assert (older.status, older.redeemed) == (RedemptionStatus.REPEATED, 300_000)
    assert await bank.units(BOB) == 300_000 - 300


async def test_eight_at_once_take_one_redemption(bank: Bank, channel: bytes) -> None:
    results = await asyncio.gather(*(bank.redeem(channel, 100_000) for _ in range(8)))
    assert {result.redeemed for result in results} == {100_000}
    assert await bank.units(BOB) == 99_900


async def test_a_payee_gets_no_more_than_was_signed(bank: Bank, channel: bytes) -> None:
    await refused(bank, "voucher-refused", channel, 100_001, ceiling=100_000)
    await refused(bank, "voucher-refused", channel, 100_000, signer=BOB)
    await refused(bank, "voucher-refused", channel, 100_000, voucher=Voucher(channel, 100_000))
    expiring = Voucher(channel, 100_000, 1_900_000_000)
    expiring = Voucher(channel, 100_000, 1_900_000_000, PAYER.sign(expiring.message()))
    await refused(bank, "voucher-refused", channel, 100_000, voucher=expiring)


async def test_a_lower_claim_is_refused(bank: Bank, channel: bytes) -> None:
    await bank.redeem(channel, 100_000)
    await refused(bank, "state-conflict", channel, 99_999)
    await refused(bank, "state-conflict", channel, 99_999, final=True)


async def test_another_channels_voucher_is_refused(bank: Bank, channel: bytes) -> None:
    other = (await bank.open(M, request_id="open-2")).row.channel
    voucher = signed_voucher(other, 500_000)
    await refused(bank, "voucher-refused", channel, 500_000, voucher=voucher)


async def test_a_payer_who_signs_above_the_deposit_pays_the_deposit(
    bank: Bank, channel: bytes
) -> None:
    await refused(bank, "insufficient-funds", channel, M + 1)
    result = await bank.redeem(channel, M, ceiling=50 * M)
    assert result.status is RedemptionStatus.APPLIED
    assert await bank.units(BOB) == M - 1000


async def test_a_thief_with_channel_id_and_voucher_gets_nothing(bank: Bank, channel: bytes) -> None:
    for key in (THIEF, ALICE, PAYER):
        await refused(bank, "not-found", channel, 100_000, by=key)
        await refused(bank, "not-found", channel, 0, by=key, final=True)
    await refused(bank, "not-found", b"\x09" * 32, 100_000)


async def test_a_new_amount_needs_a_voucher(bank: Bank, channel: bytes) -> None:
    claim = RedemptionClaim(channel, 5)
    (result,) = await bank.redemptions.redeem(BOB.public_key, [claim])
    assert result.problem is not None
    assert result.problem.slug == "voucher-required"


async def test_the_final_redemption_gives_the_rest_back(bank: Bank, channel: bytes) -> None:
    result = await bank.redeem(channel, 400_000, final=True)
    assert result.status is RedemptionStatus.APPLIED
    assert await bank.units(ALICE) == 5 * M - 400_000
    assert await bank.balance(channel_account(channel)) == 0
    row = await bank.channels.get(BOB.public_key, channel)
    assert row.state is ChannelState.CLOSED
    again = await bank.redeem(channel, 400_000, final=True)
    assert again.status is RedemptionStatus.REPEATED
    await refused(bank, "state-conflict", channel, 500_000)


async def test_a_payee_may_close_without_a_claim(bank: Bank, channel: bytes) -> None:
    claim = RedemptionClaim(channel, 0, final=True)
    (result,) = await bank.redemptions.redeem(BOB.public_key, [claim])
    assert result.status is RedemptionStatus.APPLIED
    assert await bank.units(ALICE) == 5 * M


async def test_a_final_claim_after_the_same_total_closes(bank: Bank, channel: bytes) -> None:
    await bank.redeem(channel, M)
    result = await bank.redeem(channel, M, final=True)
    assert result.status is RedemptionStatus.APPLIED
    assert (await bank.channels.get(BOB.public_key, channel)).state is ChannelState.CLOSED


async def test_a_batch_decides_each_claim_by_itself(bank: Bank, channel: bytes) -> None:
    other = (await bank.open(M, request_id="open-2")).row.channel
    results = await bank.redemptions.redeem(
        BOB.public_key,
        [
            RedemptionClaim(channel, 10, signed_voucher(channel, 10)),
            RedemptionClaim(other, 10, signed_voucher(channel, 10)),
            RedemptionClaim(channel, 20, signed_voucher(channel, 20)),
            RedemptionClaim(other, 7, signed_voucher(other, 9), final=True),
        ],
    )
    assert [result.status.value for result in results] == [
        "applied",
        "refused",
        "applied",
        "applied",
    ]
    assert await bank.units(BOB) == 27


async def test_a_fee_of_everything_pays_only_the_node(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from tests.unit.payment.bank import open_bank, terms_table

    folder = tmp_path_factory.mktemp("fee")
    async with open_bank(folder, terms=terms_table(channel_fee_ppm=1_000_000)) as bank:
        await bank.fund(ALICE, M)
        channel = (await bank.open(M)).row.channel
        assert (await bank.redeem(channel, 5)).status is RedemptionStatus.APPLIED
        assert (await bank.redeem(channel, 9)).status is RedemptionStatus.APPLIED
        assert (await bank.redeem(channel, 5)).status is RedemptionStatus.REPEATED
        assert await bank.balance(fees("aiUSD")) == 9
