from __future__ import annotations

from dataclasses import replace

import pytest

from aisa.channel.payer import (
    ChannelState,
    DepositShort,
    Lease,
    LeaseAsk,
    Limits,
    PayerChannel,
    Spent,
    Standing,
    check_call,
    day_of,
    is_top_up_due,
    plan_lease,
    rest_of_lane,
    slice_units,
    top_up_units,
)
from aisa.channel.payer_lane import LaneMeter
from aisa.errors import BudgetExceeded, ReceiptInvalid
from aisa.identity import SigningKey
from aisa.protocol.aip import ChannelTerms, DepositStatement, LaneClosed

TERMS = ChannelTerms("aisa:x", bytes(32), bytes(32), bytes(32), "aiUSD", bytes(16))
PAYEE = SigningKey(bytes([1]) * 32)


def channel(*, deposit: int = 1000, sent: int = 0, signed: int = 0) -> PayerChannel:
    statement = DepositStatement(TERMS.channel_id, deposit, 0, 0)
    state = ChannelState.OPEN
    return PayerChannel(
        TERMS, TERMS.channel_id, "", b"", "", state, statement, sent, max(sent, signed), 0
    )


def standing(*, deposit: int = 1000, sent: int = 0, signed: int = 0) -> Standing:
    return Standing(deposit, sent, max(sent, signed))


@pytest.mark.parametrize(
    ("price", "own", "theirs", "units"),
    [
        (100, 50_000, 50_000, 5_000),  # a hundred calls
        (1_000, 50_000, 50_000, 25_000),  # five cents
        (100, 50_000, 1_000, 500),  # the seller's step is smaller
        (100, 600, 10**9, 300),  # the payer's own is smaller, whatever the seller asks
        (40_000, 50_000, 50_000, 40_000),  # never less than one call
    ],
)
def test_a_slice_is_half_the_smallest_step(price: int, own: int, theirs: int, units: int) -> None:
    assert slice_units(price, step_max=own, seller_step_max=theirs) == units


def test_a_lease_counts_as_sent_and_is_what_may_be_signed() -> None:
    lease = plan_lease(standing(sent=10), Spent(), Limits(), LeaseAsk(5, 50))
    assert lease == Lease(50, ceiling=60, deposit=1000, rest=940, charge=50)


def test_units_that_came_back_are_not_paid_for_again() -> None:
    limits = Limits(per_day=100)
    spent = Spent(seller=100, day=100)
    lease = plan_lease(standing(sent=70, signed=100), spent, limits, LeaseAsk(5, 50))
    assert lease == Lease(30, ceiling=100, deposit=1000, rest=900, charge=0)


def test_a_lease_is_cut_to_deposit_and_budget() -> None:
    for limits, spent in ((Limits(per_day=30), Spent(0, 10)), (Limits(per_seller=25), Spent(5, 5))):
        lease = plan_lease(standing(), spent, limits, LeaseAsk(5, 50))
        assert isinstance(lease, Lease)
        assert lease.units == 20
    lease = plan_lease(standing(deposit=7), Spent(), Limits(), LeaseAsk(5, 50))
    assert isinstance(lease, Lease)
    assert lease.units == 7


def test_a_deposit_that_is_short_says_by_how_much() -> None:
    assert plan_lease(standing(deposit=7, sent=4), Spent(), Limits(), LeaseAsk(5, 50)) == (
        DepositShort(2)
    )


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(per_call=4), "per_call"),
        (Limits(per_seller=10), "per_seller"),
        (Limits(per_day=10), "per_day"),
    ],
)
def test_a_budget_names_the_limit_that_refuses(limits: Limits, name: str) -> None:
    with pytest.raises(BudgetExceeded) as caught:
        plan_lease(standing(), Spent(8, 8), limits, LeaseAsk(5, 50))
    assert caught.value.facts["limit"] == name


def test_a_call_at_the_limit_is_allowed() -> None:
    check_call(5, Limits(per_call=5))
    check_call(5, Limits())


def notice(charged: int, signer: SigningKey = PAYEE) -> LaneClosed:
    plain = LaneClosed(bytes(32), 3, charged)
    return replace(plain, signature=signer.sign(plain.signing_bytes()))


def test_a_closed_lane_gives_its_rest_back() -> None:
    assert rest_of_lane(50, notice(20), payee=PAYEE.public_key) == 30
    assert rest_of_lane(50, notice(50), payee=PAYEE.public_key) == 0


def test_a_payee_cannot_claim_more_than_was_leased_nor_another_sign_for_it() -> None:
    with pytest.raises(ReceiptInvalid, match="claims 51"):
        rest_of_lane(50, notice(51), payee=PAYEE.public_key)
    with pytest.raises(ReceiptInvalid, match="signature"):
        rest_of_lane(50, notice(20, SigningKey(bytes([2]) * 32)), payee=PAYEE.public_key)


def test_a_top_up_brings_the_unspent_deposit_back_to_its_maximum() -> None:
    assert top_up_units(channel(deposit=1000, sent=600), deposit_max=1000, price=1) == 600
    assert top_up_units(channel(deposit=1000, sent=1000), deposit_max=10, price=70) == 70
    assert top_up_units(channel(), deposit_max=10, price=1) == 0
    assert is_top_up_due(499, deposit_max=1000)
    assert not is_top_up_due(500, deposit_max=1000)


def test_days_are_utc() -> None:
    assert day_of(86_400_000 - 1) == 0
    assert day_of(86_400_000) == 1


def test_a_meter_gives_each_call_its_own_seq_until_the_slice_is_used() -> None:
    meter = LaneMeter(0)
    assert meter.take(10) == 0
    meter.add(25, 25, "v1")
    assert [meter.take(10), meter.take(10), meter.take(10)] == [1, 2, 0]
    meter.give_back(10)
    # The seq of a refused call is not used again: the seller may still have seen it.
    assert (meter.take(10), meter.left) == (3, 5)


def test_a_voucher_is_shown_ahead_once_and_by_every_call_that_needs_it() -> None:
    meter = LaneMeter(0)
    meter.add(30, 30, "v1")
    meter.take(10)
    assert meter.voucher_due() == "v1"
    meter.take(10)
    assert meter.voucher_due() == "v1"  # not known to be in yet, and needed
    meter.mark_shown(30)
    meter.take(10)
    assert meter.voucher_due() == ""
    meter.add(30, 60, "v2")
    meter.give_back(10)
    meter.take(10)
    assert meter.voucher_due() == "v2"  # ahead of its need
    meter.give_back(10)
    meter.take(10)
    assert meter.voucher_due() == ""  # one is on its way
    meter.mark_lost()
    assert meter.voucher_due() == "v2"
    meter.take(10)
    assert meter.voucher_due() == "v2"
