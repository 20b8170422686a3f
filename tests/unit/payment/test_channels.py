"""Opening, topping up and closing a hub channel; what a payer who cheats gets for it."""

from __future__ import annotations

import asyncio

import pytest

from aisa.client import ChannelRole, ChannelState, RedemptionStatus
from aisa.errors import (
    DepositCapReached,
    IdempotencyMismatch,
    InsufficientFunds,
    InvalidRequest,
    NotFound,
    SignatureInvalid,
    StateConflict,
    UnknownCurrency,
)
from aisa.identity import verify_signature
from aisa.payment.names import channel_account
from aisa.protocol.aip import ChannelTerms, close_bytes, hub_network
from tests.unit.payment.bank import ALICE, BOB, CLOSING_MS, NODE, PAYER, THIEF, Bank, open_bank

M = 1_000_000


async def test_opening_moves_the_deposit_and_states_it(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    opened = await bank.open(M)
    statement = opened.statement
    assert (statement.deposit, statement.fee_ppm) == (M, 1000)
    assert statement.issued == bank.time.now_ms // 1000
    assert verify_signature(NODE.public_key, statement.signing_bytes(), statement.signature)
    assert await bank.units(ALICE) == 4 * M
    assert await bank.balance(channel_account(opened.row.channel)) == M


async def test_the_same_opening_again_moves_nothing(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    terms = bank.terms()
    first = await bank.open(M, terms=terms)
    bank.time.pass_ms(5000)
    again = await bank.open(M, terms=terms)
    assert again.row == first.row
    assert again.statement.issued == first.statement.issued + 5
    assert await bank.units(ALICE) == 4 * M


async def test_two_at_once_open_one_channel(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    terms = bank.terms()
    rows = await asyncio.gather(*(bank.open(M, terms=terms) for _ in range(8)))
    assert len({row.row.channel for row in rows}) == 1
    assert await bank.units(ALICE) == 4 * M


async def test_one_salt_opens_once(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    terms = bank.terms()
    await bank.open(M, terms=terms)
    with pytest.raises(StateConflict, match="exists"):
        await bank.open(M, terms=terms, request_id="open-2")
    with pytest.raises(IdempotencyMismatch):
        await bank.open(2 * M, terms=terms)
    with pytest.raises(IdempotencyMismatch):
        await bank.open(M)  # the id again, for another channel
    assert await bank.units(ALICE) == 4 * M


async def test_two_callers_may_use_the_same_id(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    await bank.fund(THIEF, 5 * M)
    await bank.open(M)
    await bank.open(M, opener=THIEF)
    assert (await bank.units(ALICE), await bank.units(THIEF)) == (4 * M, 4 * M)


async def test_a_thief_cannot_open_from_another_account(bank: Bank) -> None:
    await bank.fund(THIEF, 5 * M)
    with pytest.raises(SignatureInvalid):
        await bank.open(M, opener=THIEF, signed_for=ALICE)


async def test_what_cannot_be_opened_moves_nothing(bank: Bank) -> None:
    await bank.fund(ALICE, M)
    with pytest.raises(InsufficientFunds):
        await bank.open(M + 1)
    with pytest.raises(DepositCapReached):
        await bank.open(10**12 + 1)
    elsewhere = ChannelTerms(
        hub_network(THIEF.public_key),
        THIEF.public_key,
        PAYER.public_key,
        BOB.public_key,
        "aiUSD",
        b"\x00" * 16,
    )
    with pytest.raises(InvalidRequest, match="network"):
        await bank.open(M, terms=elsewhere)
    other = ChannelTerms(
        bank.channels.network,
        NODE.public_key,
        PAYER.public_key,
        BOB.public_key,
        "BTC",
        b"\x00" * 16,
    )
    with pytest.raises(UnknownCurrency):
        await bank.open(M, terms=other)
    assert await bank.units(ALICE) == M
    # nothing refused was kept, so the id is still free
    assert (await bank.open(M)).row.deposit == M


async def test_topping_up_once_per_id(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    channel = (await bank.open(M)).row.channel
    key = ALICE.public_key
    first = await bank.channels.top_up(key, channel, "t-1", M)
    again = await bank.channels.top_up(key, channel, "t-1", M)
    assert (first.statement.deposit, again.statement.deposit) == (2 * M, 2 * M)
    with pytest.raises(IdempotencyMismatch):
        await bank.channels.top_up(key, channel, "t-1", 2 * M)
    rows = await asyncio.gather(
        *(bank.channels.top_up(key, channel, f"p-{n}", 1000) for n in range(5))
    )
    assert max(row.row.deposit for row in rows) == 2 * M + 5000
    assert await bank.balance(channel_account(channel)) == 2 * M + 5000
    with pytest.raises(NotFound):
        await bank.channels.top_up(THIEF.public_key, channel, "t-2", M)


async def test_a_closing_channel_waits_a_day_of_uptime(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    channel = (await bank.open(M)).row.channel
    assert (await bank.close(channel)).state is ChannelState.CLOSING
    assert (await bank.close(channel)).state is ChannelState.CLOSING
    with pytest.raises(StateConflict):
        await bank.channels.top_up(ALICE.public_key, channel, "t-1", M)
    with pytest.raises(StateConflict):
        await bank.channels.statement(ALICE.public_key, channel)
    bank.time.pass_ms(CLOSING_MS - 1)
    assert await bank.closing.step() == 0
    bank.time.pass_ms(1)
    assert await bank.closing.step() == 1
    assert await bank.units(ALICE) == 5 * M
    row = await bank.channels.get(ALICE.public_key, channel)
    assert (row.state, row.closes_at_uptime_ms) == (ChannelState.CLOSED, None)
    assert await bank.closing.step() == 0


async def test_closing_early_does_not_rob_the_payee(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    channel = (await bank.open(M)).row.channel
    await bank.close(channel)
    page, _ = await bank.channels.page(
        BOB.public_key, ChannelRole.PAYEE, ChannelState.CLOSING, None, 10
    )
    assert [row.channel for row in page] == [channel]
    bank.time.pass_ms(CLOSING_MS - 1)
    result = await bank.redeem(channel, 600_000)
    assert result.status is RedemptionStatus.APPLIED
    bank.time.pass_ms(1)
    await bank.closing.step()
    assert await bank.units(BOB) == 600_000 - 600
    assert await bank.units(ALICE) == 5 * M - 600_000
    late = await bank.redeem(channel, 700_000)
    assert late.status is RedemptionStatus.REFUSED


async def test_closing_needs_the_payer_and_the_opener(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    channel = (await bank.open(M)).row.channel
    with pytest.raises(SignatureInvalid):
        await bank.channels.close(ALICE.public_key, channel, THIEF.sign(close_bytes(channel)))
    with pytest.raises(NotFound):
        await bank.close(channel, opener=THIEF)
    assert (await bank.channels.get(ALICE.public_key, channel)).state is ChannelState.OPEN


async def test_only_its_two_sides_see_a_channel(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    channel = (await bank.open(M)).row.channel
    assert (await bank.channels.get(BOB.public_key, channel)).channel == channel
    for key in (THIEF, PAYER):
        with pytest.raises(NotFound):
            await bank.channels.get(key.public_key, channel)
    with pytest.raises(NotFound):
        await bank.channels.statement(BOB.public_key, channel)


async def test_channels_are_listed_in_pages(bank: Bank) -> None:
    await bank.fund(ALICE, 5 * M)
    opened = {(await bank.open(1000, request_id=f"o-{n}")).row.channel for n in range(5)}
    seen: list[bytes] = []
    after: str | None = None
    for _ in range(3):
        rows, after = await bank.channels.page(
            ALICE.public_key, ChannelRole.OPENER, ChannelState.OPEN, after, 2
        )
        seen += [row.channel for row in rows]
    assert after is None
    assert set(seen) == opened
    assert len(seen) == 5
    assert seen == sorted(seen)


async def test_the_clock_does_not_count_an_outage(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("outage")
    async with open_bank(folder) as bank:
        await bank.fund(ALICE, 5 * M)
        channel = (await bank.open(M)).row.channel
        await bank.close(channel)
        bank.time.pass_ms(CLOSING_MS // 2)
        await bank.closing.step()
        time, network = bank.time, bank.network
    time.pass_ms(10 * CLOSING_MS)  # the node is down
    async with open_bank(folder, time=time, network=network) as bank:
        assert await bank.closing.step() == 0
        time.pass_ms(CLOSING_MS // 2 - 1)
        assert await bank.closing.step() == 0
        time.pass_ms(1)
        assert await bank.closing.step() == 1
        assert await bank.units(ALICE) == 5 * M
