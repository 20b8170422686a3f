"""Withdrawals: nothing leaves before its intent is durable, and every intent finds its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from aisa.client import WithdrawalState
from aisa.errors import (
    IdempotencyMismatch,
    InsufficientFunds,
    InvalidAmount,
    InvalidRequest,
    NotAllowed,
    NotFound,
    RailUnavailable,
    SolvencyAlarm,
    Unprocessable,
)
from aisa.payment.names import fees, outside
from aisa.payment.ports import Spend
from aisa.payment.withdrawals import WithdrawalOrder
from tests.unit.payment.bank import ALICE, BOB, FINE, TOKEN, Bank, open_bank, terms_table

M = 1_000_000


@pytest.fixture
async def funded(bank: Bank) -> Bank:
    await bank.fund(ALICE, 5 * M)
    return bank


def order(units: int = M, **changes: object) -> WithdrawalOrder:
    values: dict[str, object] = {
        "id": "w-1",
        "asset": TOKEN.asset,
        "units": units,
        "destination": "memory:there",
        "fee_units_max": 0,
    }
    return WithdrawalOrder(**(values | changes))  # type: ignore[arg-type]


async def test_a_withdrawal_settles_and_the_books_agree(funded: Bank) -> None:
    row = await funded.withdraw(ALICE, M)
    assert row.state is WithdrawalState.SETTLED
    assert funded.network.balance("memory:there", TOKEN) == M
    assert await funded.units(ALICE) == 4 * M
    assert await funded.balance(outside(TOKEN)) == -4 * M
    assert not funded.reconciler.open_ids
    assert (await funded.solvency.check()).solvent


async def test_the_money_is_set_aside_before_anything_is_sent(funded: Bank) -> None:
    await funded.withdrawals.order(ALICE.public_key, order())
    assert funded.network.balance("memory:there", TOKEN) == 0
    assert await funded.units(ALICE) == 5 * M
    assert await funded.available(ALICE) == 4 * M


async def test_the_same_id_sends_once(funded: Bank) -> None:
    for _ in range(3):
        row = await funded.withdraw(ALICE, M)
        assert row.state is WithdrawalState.SETTLED
    assert funded.network.balance("memory:there", TOKEN) == M
    with pytest.raises(IdempotencyMismatch):
        await funded.withdraw(ALICE, M + 1)
    await funded.fund(BOB, M)
    assert (await funded.withdraw(BOB, M)).state is WithdrawalState.SETTLED


async def test_a_failed_send_gives_the_money_back(funded: Bank) -> None:
    funded.network.refusals = 1
    row = await funded.withdraw(ALICE, M)
    assert row.state is WithdrawalState.FAILED
    assert row.reason
    assert await funded.available(ALICE) == 5 * M
    assert (await funded.withdraw(ALICE, M)).state is WithdrawalState.FAILED
    assert funded.network.balance("memory:there", TOKEN) == 0
    assert (await funded.solvency.check()).solvent


async def test_an_unknown_outcome_keeps_the_money_until_it_is_known(funded: Bank) -> None:
    funded.network.delays = 1
    row = await funded.withdraw(ALICE, M)
    assert row.state is WithdrawalState.UNKNOWN
    assert await funded.available(ALICE) == 4 * M
    assert (await funded.withdraw(ALICE, M)).state is WithdrawalState.UNKNOWN
    assert (await funded.solvency.check()).solvent
    funded.network.land_delayed()
    assert (await funded.solvency.check()).solvent  # sent, and not yet known
    row = await funded.withdraw(ALICE, M)
    assert row.state is WithdrawalState.SETTLED
    assert await funded.units(ALICE) == 4 * M


async def test_an_unknown_outcome_that_never_came_fails(funded: Bank) -> None:
    funded.network.drops = 1
    assert (await funded.withdraw(ALICE, M)).state is WithdrawalState.UNKNOWN
    funded.time.pass_ms(funded.network.validity_ms + 1)
    assert (await funded.withdraw(ALICE, M)).state is WithdrawalState.FAILED
    assert await funded.available(ALICE) == 5 * M


async def test_a_lost_answer_is_looked_up(funded: Bank) -> None:
    funded.network.lost_answers = 1
    row = await funded.withdraw(ALICE, M)
    assert row.state is WithdrawalState.SETTLED
    assert funded.network.balance("memory:there", TOKEN) == M


async def test_a_network_that_is_down_keeps_the_intent(funded: Bank) -> None:
    stored = await funded.withdrawals.order(ALICE.public_key, order())
    funded.network.is_down = True
    with pytest.raises(RailUnavailable):
        await funded.reconciler.advance(stored.row.record_id)
    assert await funded.available(ALICE) == 4 * M
    funded.network.is_down = False
    row = await funded.reconciler.advance(stored.row.record_id)
    assert row is not None
    assert row.state is WithdrawalState.SETTLED


@pytest.mark.parametrize("weather", ["none", "delays", "refusals", "lost_answers"])
async def test_every_open_row_is_finished_by_the_next_run(tmp_path: Path, weather: str) -> None:
    async with open_bank(tmp_path) as bank:
        await bank.fund(ALICE, 5 * M)
        if weather == "none":
            await bank.withdrawals.order(ALICE.public_key, order())
        else:
            setattr(bank.network, weather, 1)
            await bank.withdraw(ALICE, M)
        time, network = bank.time, bank.network
    network.land_delayed()
    async with open_bank(tmp_path, time=time, network=network) as bank:
        for record_id in bank.reconciler.open_ids:
            await bank.reconciler.advance(record_id)
        stored = await bank.withdrawals.get(ALICE.public_key, "w-1")
        moved = network.balance("memory:there", TOKEN)
        expected = WithdrawalState.FAILED if weather == "refusals" else WithdrawalState.SETTLED
        assert stored.row.state is expected
        assert moved == (0 if weather == "refusals" else M)
        assert await bank.units(ALICE) == await bank.available(ALICE) == 5 * M - moved
        assert not bank.reconciler.open_ids


async def test_fees_are_ours_and_the_networks(tmp_path: Path) -> None:
    async with open_bank(tmp_path, terms=terms_table(withdrawal_fee_ppm=1000)) as bank:
        await bank.fund(ALICE, 5 * M)
        bank.network.fee_units = 50
        quote = await bank.withdrawals.quote(TOKEN.asset, M, "memory:there")
        assert (quote.fee_units, quote.network_fee_units, quote.total_units) == (1000, 50, 1050)
        with pytest.raises(Unprocessable):
            await bank.withdraw(ALICE, M, fee_units_max=1049)
        row = await bank.withdraw(ALICE, M, fee_units_max=1050)
        assert row.state is WithdrawalState.SETTLED
        assert await bank.units(ALICE) == 4 * M - 1050
        assert await bank.balance(fees("aiUSD")) == 1000
        report = await bank.solvency.check()
        assert report.solvent
        assert report.holdings[0].owed == report.holdings[0].held


async def test_a_refused_send_costs_what_the_network_took(tmp_path: Path) -> None:
    async with open_bank(tmp_path, terms=terms_table(withdrawal_fee_ppm=1000)) as bank:
        await bank.fund(ALICE, 5 * M)
        bank.network.fee_units, bank.network.refusals = 50, 1
        row = await bank.withdraw(ALICE, M, fee_units_max=1050)
        assert (row.state, row.fee_units, row.network_fee_units) == (WithdrawalState.FAILED, 0, 50)
        assert await bank.available(ALICE) == 5 * M - 50
        assert (await bank.solvency.check()).solvent


async def test_what_cannot_be_sent_is_refused_before_anything_moves(funded: Bank) -> None:
    await funded.fund(BOB, 5 * M)
    digest = await funded.store.digest()
    refusals = [
        (order(asset="aisa:memory/token:none"), NotFound),
        (order(destination="elsewhere"), InvalidRequest),
        (order(5 * M + 1), InsufficientFunds),
        (order(11 * M), Unprocessable),
    ]
    for wanted, error in refusals:
        with pytest.raises(error):
            await funded.withdrawals.order(ALICE.public_key, wanted)
    assert await funded.store.digest() == digest


async def test_a_token_that_is_too_coarse_is_refused(bank: Bank) -> None:
    with pytest.raises(InvalidAmount):
        FINE.from_ledger(1, 12)
    await bank.fund(ALICE, 5_000_000_000, FINE)
    wanted = order(M, asset=FINE.asset)
    stored = await bank.withdrawals.order(ALICE.public_key, wanted)
    assert stored.row.token_units == 1_000_000_000


async def test_a_guard_may_forbid(funded: Bank) -> None:
    seen: list[Spend] = []

    class Forbid:
        async def check(self, spend: Spend) -> None:
            seen.append(spend)
            raise NotAllowed("not today")

    funded.withdrawals._guard = Forbid()
    with pytest.raises(NotAllowed):
        await funded.withdrawals.order(ALICE.public_key, order())
    assert seen == [Spend(ALICE.public_key, "withdrawal", "aiUSD", M, "memory:there")]
    assert await funded.available(ALICE) == 5 * M


async def test_a_shortfall_stops_orders_and_sends(funded: Bank) -> None:
    stored = await funded.withdrawals.order(ALICE.public_key, order())
    address = (await funded.rail.request(TOKEN, ALICE.public_key.hex())).address
    funded.network.pay(address, "memory:thief", TOKEN, 2 * M)
    report = await funded.solvency.check()
    assert not report.solvent
    assert report.holdings[0].short == M  # the order may have been sent, so it is not counted
    with pytest.raises(SolvencyAlarm):
        await funded.withdrawals.order(ALICE.public_key, order(id="w-2"))
    row = await funded.reconciler.advance(stored.row.record_id)
    assert row is not None
    assert row.state is WithdrawalState.PENDING
    assert (await funded.withdrawals.order(ALICE.public_key, order())).row == row
    funded.network.mint(funded.rail.treasury, TOKEN, 2 * M)
    assert (await funded.solvency.check()).solvent
    row = await funded.reconciler.advance(stored.row.record_id)
    assert row is not None
    assert row.state is WithdrawalState.SETTLED


async def test_more_than_owed_is_no_alarm(funded: Bank) -> None:
    funded.network.mint(funded.rail.treasury, TOKEN, 7)
    report = await funded.solvency.check()
    assert report.solvent
    liability = report.liabilities[0]
    assert (liability.customers, liability.fees, liability.suspense) == (5 * M, 0, 0)


async def test_a_withdrawal_of_nobody_is_not_found(funded: Bank) -> None:
    await funded.withdraw(ALICE, M)
    with pytest.raises(NotFound):
        await funded.withdrawals.get(BOB.public_key, "w-1")
    assert await funded.reconciler.advance("nobody/none") is None
    page, after = await funded.withdrawals.page(ALICE.public_key, None, 1)
    assert (len(page), after) == (1, "w-1")
