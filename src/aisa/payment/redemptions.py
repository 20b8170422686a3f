"""Redemption: a payee takes what vouchers allow, in batches.

The id of a redemption is the hash of channel and total, so that whatever is sent again, in
whatever pieces, takes the same money once. The fee follows the total too: splitting changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from aisa.client.message import (
    ChannelState,
    ProblemInfo,
    RedemptionClaim,
    RedemptionResult,
    RedemptionStatus,
)
from aisa.errors import (
    AisaError,
    InsufficientFunds,
    Internal,
    RailError,
    StateConflict,
    Throttled,
    VoucherRefused,
    VoucherRequired,
)
from aisa.identity import verify_signature
from aisa.ledger.account import Floor, OpenAccount
from aisa.ledger.outcome import Command, Operation, Reason, require_applied
from aisa.ledger.store import Store
from aisa.ledger.transfer import Transfer
from aisa.payment import names
from aisa.payment.channel_row import ChannelRow, StoredChannel, find_channel, unknown_channel
from aisa.payment.channels import RACES_MAX
from aisa.payment.closing import give_back
from aisa.payment.commit import commit
from aisa.payment.terms import fee_of


class Redemptions:
    """Pays payees from the channels that stand at this node."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def redeem(
        self, payee: bytes, claims: Sequence[RedemptionClaim]
    ) -> tuple[RedemptionResult, ...]:
        """Decide each claim by itself; claims on one channel are taken in their order."""
        results: dict[int, RedemptionResult] = {}
        by_channel: dict[bytes, list[int]] = {}
        for index, claim in enumerate(claims):
            by_channel.setdefault(claim.channel, []).append(index)

        async def in_order(indexes: list[int]) -> None:
            for index in indexes:
                results[index] = await self._decide(payee, claims[index])

        async with asyncio.TaskGroup() as group:
            for indexes in by_channel.values():
                group.create_task(in_order(indexes))
        return tuple(results[index] for index in range(len(claims)))

    async def _decide(self, payee: bytes, claim: RedemptionClaim) -> RedemptionResult:
        try:
            return await self._redeem(payee, claim)
        except (Internal, RailError, Throttled):
            raise
        except AisaError as error:
            problem = ProblemInfo(error.slug, error.detail)
            return RedemptionResult(claim.channel, RedemptionStatus.REFUSED, 0, 0, problem)

    async def _redeem(self, payee: bytes, claim: RedemptionClaim) -> RedemptionResult:
        for _ in range(RACES_MAX):
            stored = await find_channel(self._store, claim.channel)
            if stored is None or stored.row.payee != payee:
                raise unknown_channel(claim.channel)
            row = stored.row
            closes = claim.final and row.state is not ChannelState.CLOSED
            if claim.cumulative <= row.redeemed and not (
                closes and claim.cumulative == row.redeemed
            ):
                return await self._repeated(row, claim)
            after = _after(row, claim)
            outcome = await commit(self._store, "redemption", _command(stored, after, closes))
            if outcome.reason not in {Reason.RECORD_CHANGED, Reason.LINK_CHANGED}:
                require_applied(outcome)
                return _result(after, RedemptionStatus.APPLIED)
        raise StateConflict("the channel is being changed by others; try again")

    async def _repeated(self, row: ChannelRow, claim: RedemptionClaim) -> RedemptionResult:
        if claim.cumulative != row.redeemed:
            transfer_id = names.redemption_id(claim.channel, claim.cumulative)
            legs = (transfer_id, _fee_leg(transfer_id))
            if not any([await self._store.transfer(leg) for leg in legs]):
                raise StateConflict(
                    f"{row.redeemed} units were redeemed already, more than claimed",
                    redeemed=str(row.redeemed),
                )
        return _result(row, RedemptionStatus.REPEATED)


def _after(row: ChannelRow, claim: RedemptionClaim) -> ChannelRow:
    """Return the row that the claim leads to, if the claim is good."""
    if claim.cumulative == row.redeemed:
        return row
    if row.state is ChannelState.CLOSED:
        raise StateConflict("the channel is closed", state=row.state.value)
    _check_voucher(row, claim)
    if claim.cumulative > row.deposit:
        raise InsufficientFunds(
            f"the channel's deposit is {row.deposit} units", deposit=str(row.deposit)
        )
    return replace(row, redeemed=claim.cumulative, fee_taken=fee_of(claim.cumulative, row.fee_ppm))


def _check_voucher(row: ChannelRow, claim: RedemptionClaim) -> None:
    voucher = claim.voucher
    if voucher is None:
        raise VoucherRequired("the claim carries no voucher")
    if voucher.channel != claim.channel:
        raise VoucherRefused("the voucher is of another channel")
    if voucher.expiry:
        raise VoucherRefused("a voucher on a node's channel has no expiry")
    if claim.cumulative > voucher.ceiling:
        raise VoucherRefused(f"the voucher's ceiling is {voucher.ceiling} units")
    if not verify_signature(row.payer, voucher.message(), voucher.signature):
        raise VoucherRefused("the voucher is not signed by the channel's payer")


def _command(stored: StoredChannel, after: ChannelRow, closes: bool) -> Command:
    before = stored.row
    fee = after.fee_taken - before.fee_taken
    payout = after.redeemed - before.redeemed - fee
    transfer_id = names.redemption_id(after.channel, after.redeemed)
    operations: list[Operation] = []
    if payout:
        credit = names.customer(after.payee, after.currency)
        operations += _pay(transfer_id, credit, payout, after, "redemption")
    if fee:
        credit = names.fees(after.currency)
        operations += _pay(_fee_leg(transfer_id), credit, fee, after, "redemption.fee")
    operations += give_back(stored, after) if closes else [stored.replaced(after)]
    return tuple(operations)


def _pay(
    transfer_id: str, credit: str, units: int, row: ChannelRow, code: str
) -> tuple[Operation, ...]:
    account = names.channel_account(row.channel)
    return (
        OpenAccount(credit, row.currency, Floor.NOT_NEGATIVE),
        Transfer(transfer_id, account, credit, units, row.currency, code),
    )


def _fee_leg(transfer_id: str) -> str:
    return f"{transfer_id}.fee"


def _result(row: ChannelRow, status: RedemptionStatus) -> RedemptionResult:
    return RedemptionResult(row.channel, status, row.redeemed, row.fee_taken)
