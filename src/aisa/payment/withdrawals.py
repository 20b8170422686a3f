"""Withdrawals: the money is set aside and the intent durable before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aisa.client.message import WithdrawalState
from aisa.errors import (
    IdempotencyMismatch,
    NotFound,
    SolvencyAlarm,
    Unprocessable,
)
from aisa.ledger.account import Floor, OpenAccount
from aisa.ledger.outcome import Command, Operation, Reason, require_applied
from aisa.ledger.store import Store
from aisa.ledger.transfer import Hold
from aisa.money import PegTable, Token
from aisa.payment import names
from aisa.payment.commit import commit
from aisa.payment.pages import owned_id, owned_page
from aisa.payment.ports import RouteChooser, Spend, SpendGuard
from aisa.payment.terms import TermsTable, fee_of
from aisa.payment.withdrawal_row import StoredWithdrawal, WithdrawalRow, withdrawal_in
from aisa.settlement.rail import Rail


@dataclass(frozen=True, slots=True)
class WithdrawalOrder:
    """What a customer asks for; `fee_units_max` bounds both fees together."""

    id: str
    asset: str
    units: int
    destination: str
    fee_units_max: int


@dataclass(frozen=True, slots=True)
class FeeQuote:
    """What a withdrawal costs on top of its units: ours, and a network's that takes the token."""

    token: Token
    token_units: int
    fee_units: int
    network_fee_units: int
    time_s: int

    @property
    def total_units(self) -> int:
        """Both fees."""
        return self.fee_units + self.network_fee_units


class Withdrawals:
    """Takes orders; the reconciler carries them out. `is_halted` says when none are taken."""

    def __init__(
        self,
        store: Store,
        terms: TermsTable,
        pegs: PegTable,
        rails: Sequence[Rail],
        guard: SpendGuard,
        chooser: RouteChooser,
        *,
        is_halted: Callable[[], bool],
    ) -> None:
        self._store = store
        self._terms = terms
        self._pegs = pegs
        self._rails = rails
        self._guard = guard
        self._chooser = chooser
        self._is_halted = is_halted

    async def quote(self, asset: str, units: int, destination: str) -> FeeQuote:
        """Return what a withdrawal would cost now.

        Raises:
            NotFound: no network of this node carries the asset.
            InvalidRequest: the amount is too fine for the token, or the destination wrong.
            RailUnavailable: the network does not answer.
        """
        rail = self._chooser.choose(asset, self._rails)
        token = self.token_of(asset)
        terms = self._terms.of(token.currency)
        token_units = token.from_ledger(units, terms.currency.scale)
        quote = await rail.quote(token, token_units, destination)
        if not quote.units_min <= token_units <= quote.units_max:
            raise Unprocessable(
                f"{token.symbol} can be sent from {quote.units_min} to {quote.units_max} units now",
                units_min=str(quote.units_min),
                units_max=str(quote.units_max),
            )
        network_fee = 0
        if quote.fee_asset == asset:
            whole, rest = token.to_ledger(quote.fee_units, terms.currency.scale)
            network_fee = whole + bool(rest)
        ours = fee_of(units, terms.withdrawal_fee_ppm)
        return FeeQuote(token, token_units, ours, network_fee, quote.time_s)

    async def order(self, key: bytes, order: WithdrawalOrder) -> StoredWithdrawal:
        """Set the money aside and keep the intent; the same id gives the withdrawal as it stands.

        Raises:
            SolvencyAlarm: withdrawals are stopped.
            InsufficientFunds: the account does not hold units and fees.
            IdempotencyMismatch: the id was used for another withdrawal.
            Unprocessable: the fee is above `fee_units_max`, or the rail cannot send so much.
        """
        known = await self._find(key, order.id)
        if known is not None:
            return _same(known, order)
        if self._is_halted():
            raise SolvencyAlarm("withdrawals are stopped until the node's holdings are checked")
        quote = await self.quote(order.asset, order.units, order.destination)
        if quote.total_units > order.fee_units_max:
            raise Unprocessable(
                f"the fee is {quote.total_units} units, above fee_units_max",
                fee_units=str(quote.total_units),
            )
        currency = quote.token.currency
        await self._guard.check(Spend(key, "withdrawal", currency, order.units, order.destination))
        row = _new_row(key, order, quote)
        outcome = await commit(self._store, "withdrawal", _set_aside(row, quote.token))
        if outcome.reason is Reason.RECORD_CHANGED:
            return _same(await self.get(key, order.id), order)
        require_applied(outcome)
        return await self.get(key, order.id)

    async def get(self, key: bytes, request_id: str) -> StoredWithdrawal:
        """Return one of a key's withdrawals.

        Raises:
            NotFound: it has none of this id.
        """
        found = await self._find(key, request_id)
        if found is None:
            raise NotFound(f"there is no withdrawal {request_id[:64]!r} of this key")
        return found

    async def page(
        self, key: bytes, after: str | None, limit: int
    ) -> tuple[list[StoredWithdrawal], str | None]:
        """Return a key's withdrawals by id, and where the next page starts."""
        records = await owned_page(self._store, names.WITHDRAWAL, key, after, limit)
        found = [withdrawal_in(record) for record in records]
        return found, found[-1].row.id if len(found) == limit else None

    def token_of(self, asset: str) -> Token:
        """Return a pegged token.

        Raises:
            NotFound: this node has none of that asset.
        """
        for token in self._pegs.tokens:
            if token.asset == asset:
                return token
        raise NotFound(f"this node has no {asset}")

    async def _find(self, key: bytes, request_id: str) -> StoredWithdrawal | None:
        record = await self._store.record(names.WITHDRAWAL, owned_id(key, request_id))
        return None if record is None else withdrawal_in(record)


def _same(stored: StoredWithdrawal, order: WithdrawalOrder) -> StoredWithdrawal:
    row = stored.row
    if (row.asset, row.units, row.destination) != (order.asset, order.units, order.destination):
        raise IdempotencyMismatch("the id was used for another withdrawal")
    return stored


def _new_row(key: bytes, order: WithdrawalOrder, quote: FeeQuote) -> WithdrawalRow:
    return WithdrawalRow(
        id=order.id,
        key=key,
        asset=order.asset,
        currency=quote.token.currency,
        units=order.units,
        token_units=quote.token_units,
        fee_units=quote.fee_units,
        network_fee_units=quote.network_fee_units,
        destination=order.destination,
        state=WithdrawalState.PENDING,
    )


def _set_aside(row: WithdrawalRow, token: Token) -> Command:
    account = names.customer(row.key, row.currency)
    outside, fees = names.outside(token), names.fees(row.currency)
    operations: list[Operation] = [
        OpenAccount(account, row.currency, Floor.NOT_NEGATIVE),
        OpenAccount(outside, row.currency, Floor.NONE),
        _hold(row, "", outside, row.units, "withdrawal"),
    ]
    if row.network_fee_units:
        operations.append(
            _hold(row, ".network", outside, row.network_fee_units, "withdrawal.network-fee")
        )
    if row.fee_units:
        operations += [
            OpenAccount(fees, row.currency, Floor.NOT_NEGATIVE),
            _hold(row, ".fee", fees, row.fee_units, "withdrawal.fee"),
        ]
    return (*operations, row.put(0))


def _hold(row: WithdrawalRow, leg: str, credit: str, units: int, code: str) -> Hold:
    account = names.customer(row.key, row.currency)
    return Hold(row.send_id + leg, account, credit, units, row.currency, code, None, row.id)
