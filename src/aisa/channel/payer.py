"""The payer's rules: what may be leased, signed and given back, as functions over plain values.

A lane's slice counts as sent from the moment it is leased, and a ceiling is only ever signed at
exactly that count. So whatever a payee says, it can take no more than what this payer wrote down as
sent before it sent anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from aisa.errors import BudgetExceeded, ReceiptInvalid
from aisa.identity import verify_signature
from aisa.protocol.aip import ChannelTerms, DepositStatement, LaneClosed

CALLS_PER_STEP: Final = 100
DAY_MS: Final = 86_400_000


class ChannelState(Enum):
    """Where a payer's channel stands; OPENING was written down before the node was asked."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class PayerChannel:
    """One channel as its payer knows it; every amount in units of the terms' currency.

    `sent` is the written-ahead count, `signed` the highest ceiling ever signed. While the channel
    is OPENING, `statement` is unsigned and says what was asked for.
    """

    terms: ChannelTerms
    channel: bytes
    node_url: str
    account_key: bytes
    session_url: str
    state: ChannelState
    statement: DepositStatement
    sent: int
    signed: int
    opened_at_ms: int

    @property
    def deposit(self) -> int:
        """What stands behind the channel in all."""
        return self.statement.deposit

    @property
    def rest(self) -> int:
        """What of the deposit is not sent yet."""
        return self.statement.deposit - self.sent


@dataclass(frozen=True, slots=True)
class Limits:
    """The owner's limits in units; None is no limit. Seller and day count ceilings signed per UTC day."""

    per_call: int | None = None
    per_seller: int | None = None
    per_day: int | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """Ceilings signed so far on one UTC day: to the one seller, and to all."""

    seller: int = 0
    day: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a lease is planned from: a channel's deposit, and its `sent` and `signed` counts."""

    deposit: int
    sent: int
    signed: int


@dataclass(frozen=True, slots=True)
class LeaseAsk:
    """At least `amount` units and at best `wanted`."""

    amount: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Lease:
    """`units` more for a lane; `ceiling` is what may be signed now, at `deposit` behind it.

    `charge` is how much of the budget it took, `rest` what of the deposit is not sent yet.
    """

    units: int
    ceiling: int
    deposit: int
    rest: int
    charge: int


@dataclass(frozen=True, slots=True)
class DepositShort:
    """The deposit does not cover the call; `missing` units are needed at least."""

    missing: int


def slice_units(price: int, *, step_max: int, seller_step_max: int) -> int:
    """Return what one lease asks for: half a ceiling step, but never less than one call.

    The step is the smallest of 100 calls, the payer's own `step_max` and the seller's.
    """
    step = min(CALLS_PER_STEP * price, step_max, seller_step_max)
    return max(step // 2, price)


def check_call(amount: int, limits: Limits) -> None:
    """Check one call's amount.

    Raises:
        BudgetExceeded: it is above the limit per call.
    """
    if limits.per_call is not None and amount > limits.per_call:
        raise _exceeded("per_call", limits.per_call, amount)


def plan_lease(
    channel: Standing, spent: Spent, limits: Limits, ask: LeaseAsk
) -> Lease | DepositShort:
    """Return the lease; less than wanted where a limit is near.

    The budget pays only for what lifts the signed ceiling: units that a closed lane gave back were
    paid for when they were first signed.

    Raises:
        BudgetExceeded: no limit leaves room for the amount; the facts name the limit.
    """
    check_call(ask.amount, limits)
    signed_before = channel.signed - channel.sent
    room = max(ask.wanted, ask.amount)
    for name, limit, used in (
        ("per_seller", limits.per_seller, spent.seller),
        ("per_day", limits.per_day, spent.day),
    ):
        if limit is None:
            continue
        left = max(0, limit - used) + signed_before
        if left < ask.amount:
            raise _exceeded(name, limit, ask.amount)
        room = min(room, left)
    rest = channel.deposit - channel.sent
    if rest < ask.amount:
        return DepositShort(ask.amount - rest)
    units = min(room, rest)
    signed = max(channel.signed, channel.sent + units)
    return Lease(units, signed, channel.deposit, rest - units, signed - channel.signed)


def _exceeded(name: str, limit: int, amount: int) -> BudgetExceeded:
    return BudgetExceeded(
        f"the call's {amount} units do not fit the budget {name} of {limit} units",
        hint="raise the budget, or wait until the day (UTC) is over",
        limit=name,
        limit_units=limit,
        amount_units=amount,
    )


def rest_of_lane(leased: int, notice: LaneClosed, *, payee: bytes) -> int:
    """Return the units that a closed lane gives back.

    Raises:
        ReceiptInvalid: the payee did not sign the notice, or claims more than was leased.
    """
    if not verify_signature(payee, notice.signing_bytes(), notice.signature):
        raise ReceiptInvalid("the payee's signature on the closed lane does not verify")
    if not 0 <= notice.charged <= leased:
        raise ReceiptInvalid(
            f"the payee claims {notice.charged} units on a lane that was given {leased}",
            claimed_units=notice.charged,
            leased_units=leased,
        )
    return leased - notice.charged


def top_up_units(channel: PayerChannel, *, deposit_max: int, price: int) -> int:
    """Return how much to add so that `deposit_max` (or one call, if dearer) is unspent again."""
    return max(0, max(deposit_max, price) - channel.rest)


def is_top_up_due(rest: int, *, deposit_max: int) -> bool:
    """Whether less than half of `deposit_max` is unspent."""
    return rest < deposit_max // 2


def day_of(now_ms: int) -> int:
    """Return the number of the UTC day."""
    return now_ms // DAY_MS
