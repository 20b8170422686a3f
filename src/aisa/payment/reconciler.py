"""The reconciler: finishes every withdrawal from its row alone, whatever happened before.

pending → sent (the rail's journal decides whether that already happened) → settled, failed or
unknown; unknown → looked up, never sent again. Holds are posted or voided in the commit that
writes the outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from aisa import faults
from aisa.client.message import WithdrawalState
from aisa.errors import InvalidRequest, NotFound, RailError, RailUnavailable
from aisa.ledger.outcome import Operation, Reason, require_applied
from aisa.ledger.store import Store
from aisa.ledger.transfer import PostHold, VoidHold
from aisa.money import PegTable, Token
from aisa.payment import names
from aisa.payment.commit import commit
from aisa.payment.pages import every_record
from aisa.payment.terms import TermsTable
from aisa.payment.withdrawal_row import StoredWithdrawal, WithdrawalRow, withdrawal_in
from aisa.settlement.rail import (
    Failed,
    FailureReason,
    Outcome,
    Outgoing,
    Rail,
    Settled,
    Unknown,
)


class Reconciler:
    """Carries withdrawals to their end; `is_halted` keeps pending ones from being sent."""

    def __init__(
        self,
        store: Store,
        terms: TermsTable,
        pegs: PegTable,
        rails: Sequence[Rail],
        *,
        is_halted: Callable[[], bool],
    ) -> None:
        self._store = store
        self._terms = terms
        self._tokens = {token.asset: token for token in pegs.tokens}
        self._rails = {token.asset: rail for rail in rails for token in rail.tokens}
        self._is_halted = is_halted
        self._busy: dict[str, asyncio.Lock] = {}
        self._open: set[str] = set()

    @property
    def open_ids(self) -> frozenset[str]:
        """The record ids of withdrawals without an outcome."""
        return frozenset(self._open)

    async def load(self) -> None:
        """Find every open withdrawal of earlier runs."""
        async for record in every_record(self._store, names.WITHDRAWAL):
            if withdrawal_in(record).row.is_open:
                self._open.add(record.id)

    def watch(self, record_id: str) -> None:
        """Carry a new withdrawal out with the next step."""
        self._open.add(record_id)

    async def advance(self, record_id: str) -> WithdrawalRow | None:
        """Take a withdrawal as far as it goes now and return it; None if there is none.

        Raises:
            RailUnavailable: nothing was sent; try again later.
        """
        async with self._busy.setdefault(record_id, asyncio.Lock()):
            record = await self._store.record(names.WITHDRAWAL, record_id)
            if record is None:
                self._open.discard(record_id)
                return None
            stored = withdrawal_in(record)
            row = await self._advance(stored) if stored.row.is_open else stored.row
            if not row.is_open:
                self._open.discard(record_id)
                self._busy.pop(record_id, None)
            return row

    async def _advance(self, stored: StoredWithdrawal) -> WithdrawalRow:
        row = stored.row
        rail, token = self._rails[row.asset], self._tokens[row.asset]
        if row.state is WithdrawalState.UNKNOWN:
            outcome = await rail.look_up(row.send_id)
        elif self._is_halted():
            return row
        else:
            outcome = await _send(rail, row, token)
        return await self._conclude(stored, rail, token, outcome)

    async def _conclude(
        self, stored: StoredWithdrawal, rail: Rail, token: Token, outcome: Outcome
    ) -> WithdrawalRow:
        row = stored.row
        match outcome:
            case Unknown(reference):
                if row.state is WithdrawalState.UNKNOWN:
                    return row
                after = replace(row, state=WithdrawalState.UNKNOWN, reference=reference)
                return await self._write(stored, after, ())
            case Settled(reference):
                taken = await self._network_fee(rail, row, token, reference)
                after = replace(
                    row,
                    state=WithdrawalState.SETTLED,
                    reference=reference,
                    network_fee_units=taken,
                )
                return await self._write(stored, after, _settle(row, taken))
            case Failed(reason, detail, reference):
                taken = await self._network_fee(rail, row, token, reference)
                after = replace(
                    row,
                    state=WithdrawalState.FAILED,
                    reference=reference,
                    reason=detail or reason.value,
                    fee_units=0,
                    network_fee_units=taken,
                )
                return await self._write(stored, after, _fail(row, taken))

    async def _network_fee(
        self, rail: Rail, row: WithdrawalRow, token: Token, reference: str | None
    ) -> int:
        """Return what the network took of the token, at most what was set aside for it."""
        if not row.network_fee_units or reference is None:
            return 0
        try:
            fee = await rail.fees(reference)
        except NotFound:
            return 0
        if fee.asset != token.asset:
            return 0
        scale = self._terms.of(row.currency).currency.scale
        whole, rest = token.to_ledger(fee.units, scale)
        return min(whole + bool(rest), row.network_fee_units)

    async def _write(
        self,
        stored: StoredWithdrawal,
        after: WithdrawalRow,
        operations: tuple[Operation, ...],
    ) -> WithdrawalRow:
        command = (*operations, after.put(stored.version))
        outcome = await commit(self._store, "outcome", command)
        if outcome.reason is not Reason.RECORD_CHANGED:
            require_applied(outcome)
        return after


async def _send(rail: Rail, row: WithdrawalRow, token: Token) -> Outcome:
    outgoing = Outgoing(row.send_id, token, row.token_units, row.destination)
    faults.hit("node.send.before")
    try:
        outcome = await rail.send(outgoing)
    except RailUnavailable:
        raise
    except (InvalidRequest, RailError) as error:
        # The port promises that nothing was sent. Look once more: a payment under way is not void.
        outcome = await rail.look_up(row.send_id)
        if isinstance(outcome, Failed) and outcome.reason is FailureReason.NEVER_SENT:
            outcome = Failed(FailureReason.REFUSED, error.detail)
    faults.hit("node.send.after")
    return outcome


def _settle(row: WithdrawalRow, network_fee: int) -> tuple[Operation, ...]:
    operations: list[Operation] = [_post(row, "", None)]
    if row.network_fee_units:
        operations.append(_take(row, ".network", network_fee))
    if row.fee_units:
        operations.append(_post(row, ".fee", None))
    return tuple(operations)


def _fail(row: WithdrawalRow, network_fee: int) -> tuple[Operation, ...]:
    operations: list[Operation] = [_take(row, "", 0)]
    if row.network_fee_units:
        operations.append(_take(row, ".network", network_fee))
    if row.fee_units:
        operations.append(_take(row, ".fee", 0))
    return tuple(operations)


def _take(row: WithdrawalRow, leg: str, units: int) -> Operation:
    if units:
        return _post(row, leg, units)
    hold = row.send_id + leg
    return VoidHold(f"{hold}.void", hold)


def _post(row: WithdrawalRow, leg: str, units: int | None) -> PostHold:
    hold = row.send_id + leg
    return PostHold(f"{hold}.post", hold, units)
