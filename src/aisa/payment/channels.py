"""Hub channels: money moves into an account of the channel's own, and the payee gets the node's word.

Everything here is safe to repeat with the same id: the answer is the same and nothing moves twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from aisa.client.message import ChannelRole, ChannelState
from aisa.errors import (
    DepositCapReached,
    IdempotencyMismatch,
    InvalidRequest,
    SignatureInvalid,
    StateConflict,
)
from aisa.identity import Signer, verify_signature
from aisa.ledger.account import Floor, OpenAccount
from aisa.ledger.outcome import Command, Reason, require_applied
from aisa.ledger.record import PutRecord
from aisa.ledger.store import Store
from aisa.ledger.transfer import Transfer
from aisa.payment import names
from aisa.payment.channel_row import (
    ChannelRow,
    channel_of,
    find_channel,
    put_channel,
    unknown_channel,
)
from aisa.payment.closing import ClosingClock
from aisa.payment.commit import commit
from aisa.payment.pages import name_in, owned_id, owned_page
from aisa.payment.ports import Spend, SpendGuard
from aisa.payment.terms import TermsTable
from aisa.protocol.aip import (
    ChannelTerms,
    DepositStatement,
    close_bytes,
    hub_network,
    open_bytes,
)

RACES_MAX = 16
"""How often a step is tried again because another one changed the channel first."""


@dataclass(frozen=True, slots=True)
class OpenedRow:
    """A channel and the statement on its deposit."""

    row: ChannelRow
    statement: DepositStatement


class Channels:
    """Opens, tops up, lists and closes the channels that stand at this node."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        terms: TermsTable,
        guard: SpendGuard,
        closing: ClosingClock,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._signer = signer
        self._terms = terms
        self._guard = guard
        self._closing = closing
        self._clock = clock
        self.network = hub_network(signer.public_key)

    async def open(
        self,
        opener: bytes,
        request_id: str,
        terms: ChannelTerms,
        deposit: int,
        payer_signature: bytes,
    ) -> OpenedRow:
        """Move `deposit` from the opener's account into a new channel.

        Raises:
            InvalidRequest: the terms name another node, or a currency that is not kept here.
            SignatureInvalid: the payer key did not sign for this account.
            InsufficientFunds: the account does not hold the deposit.
            DepositCapReached: the deposit is above the currency's cap.
            StateConflict: the channel exists already, opened under another id.
            IdempotencyMismatch: the id was used for something else.
        """
        self._check_opening(opener, terms, payer_signature)
        for _ in range(RACES_MAX):
            stored = await find_channel(self._store, terms.channel_id)
            transfer_id = names.scoped_id("opening", opener, request_id)
            if stored is not None:
                return self._repeat_open(stored.row, opener, transfer_id, deposit)
            self._check_cap(terms.currency, deposit)
            await self._guard.check(
                Spend(opener, "channel", terms.currency, deposit, terms.payee.hex())
            )
            row = self._new_row(opener, transfer_id, terms, deposit)
            outcome = await commit(self._store, "opening", _opening(row))
            if outcome.reason is not Reason.RECORD_CHANGED:
                require_applied(outcome)
                return self._opened(row)
        raise StateConflict("the channel is being changed by others; try again")

    async def top_up(self, opener: bytes, channel: bytes, request_id: str, units: int) -> OpenedRow:
        """Move `units` more into an open channel.

        Raises:
            NotFound: this key opened no such channel.
            StateConflict: the channel is closing or closed.
            InsufficientFunds: the account does not hold the amount.
            DepositCapReached: the deposit would pass the currency's cap.
            IdempotencyMismatch: the id was used for something else.
        """
        for _ in range(RACES_MAX):
            stored = await channel_of(self._store, channel, opener=opener)
            row = stored.row
            transfer = Transfer(
                names.scoped_id("topup", opener, request_id),
                names.customer(opener, row.currency),
                names.channel_account(channel),
                units,
                row.currency,
                "channel.topup",
            )
            if await self._was_posted(transfer):
                return self._opened(row)
            _require_open(row)
            self._check_cap(row.currency, row.deposit + units)
            await self._guard.check(Spend(opener, "channel", row.currency, units, row.payee.hex()))
            raised = replace(row, deposit=row.deposit + units)
            command = (transfer, stored.replaced(raised))
            outcome = await commit(self._store, "topup", command)
            if outcome.reason not in {Reason.RECORD_CHANGED, Reason.LINK_CHANGED}:
                require_applied(outcome)
                return self._opened(raised)
        raise StateConflict("the channel is being changed by others; try again")

    async def close(self, opener: bytes, channel: bytes, payer_signature: bytes) -> ChannelRow:
        """Start the clock after which the rest goes back, whatever the payee does.

        Raises:
            NotFound: this key opened no such channel.
            SignatureInvalid: the payer key did not sign the closing.
        """
        for _ in range(RACES_MAX):
            stored = await channel_of(self._store, channel, opener=opener)
            row = stored.row
            if not verify_signature(row.payer, close_bytes(channel), payer_signature):
                raise SignatureInvalid("payer_signature is not the payer's over this closing")
            if row.state is not ChannelState.OPEN:
                return row
            closing = replace(
                row, state=ChannelState.CLOSING, closes_at_uptime_ms=self._closing.deadline_ms()
            )
            mark = PutRecord(names.CLOSING, owned_id(row.payee, channel.hex()), 0, b"{}")
            outcome = await commit(self._store, "closing", (stored.replaced(closing), mark))
            if outcome.reason is not Reason.RECORD_CHANGED:
                require_applied(outcome)
                self._closing.watch(channel)
                return closing
        raise StateConflict("the channel is being changed by others; try again")

    async def get(self, key: bytes, channel: bytes) -> ChannelRow:
        """Return a channel that `key` opened or is paid by.

        Raises:
            NotFound: there is none of this key.
        """
        stored = await find_channel(self._store, channel)
        if stored is None or key not in {stored.row.opener, stored.row.payee}:
            raise unknown_channel(channel)
        return stored.row

    async def statement(self, opener: bytes, channel: bytes) -> DepositStatement:
        """Return a statement of now.

        Raises:
            NotFound: this key opened no such channel.
            StateConflict: the channel is closing or closed.
        """
        stored = await channel_of(self._store, channel, opener=opener)
        return self._opened(stored.row).statement

    async def page(
        self,
        key: bytes,
        role: ChannelRole,
        state: ChannelState | None,
        after: str | None,
        limit: int,
    ) -> tuple[list[ChannelRow], str | None]:
        """Return a key's channels by id, and where the next page starts.

        A page may be short, or empty, and still have a next one: the state is filtered after.
        """
        kind = names.CHANNEL_OF_OPENER if role is ChannelRole.OPENER else names.CHANNEL_OF_PAYEE
        if role is ChannelRole.PAYEE and state is ChannelState.CLOSING:
            kind = names.CLOSING
        records = await owned_page(self._store, kind, key, after, limit)
        rows: list[ChannelRow] = []
        for record in records:
            stored = await find_channel(self._store, bytes.fromhex(name_in(record.id)))
            if stored is not None and state in {None, stored.row.state}:
                rows.append(stored.row)
        return rows, name_in(records[-1].id) if len(records) == limit else None

    def _check_opening(self, opener: bytes, terms: ChannelTerms, signature: bytes) -> None:
        self._terms.of(terms.currency)
        if terms.network != self.network or terms.holder != self._signer.public_key:
            raise InvalidRequest(
                "network is another node's", hint=f"this node is {self.network}", field="network"
            )
        if not verify_signature(terms.payer, open_bytes(terms.channel_id, opener), signature):
            raise SignatureInvalid("payer_signature is not the payer's for this account")

    def _check_cap(self, currency: str, deposit: int) -> None:
        cap = self._terms.of(currency).account_cap_units
        if deposit > cap:
            raise DepositCapReached(f"a channel may hold {cap} units", cap_units=str(cap))

    def _new_row(
        self, opener: bytes, transfer_id: str, terms: ChannelTerms, deposit: int
    ) -> ChannelRow:
        return ChannelRow(
            network=terms.network,
            payer=terms.payer,
            payee=terms.payee,
            currency=terms.currency,
            salt=terms.salt,
            opener=opener,
            opened_by=transfer_id,
            opened_units=deposit,
            fee_ppm=self._terms.of(terms.currency).channel_fee_ppm,
            deposit=deposit,
        )

    def _repeat_open(
        self, row: ChannelRow, opener: bytes, transfer_id: str, deposit: int
    ) -> OpenedRow:
        if row.opened_by != transfer_id:
            # Said to everyone alike: the salt is the payer's choice, and this one is taken.
            raise StateConflict("the channel exists already", hint="choose another salt")
        if (row.opener, row.opened_units) != (opener, deposit):
            raise IdempotencyMismatch("the id opened this channel with another deposit")
        return self._opened(row)

    async def _was_posted(self, transfer: Transfer) -> bool:
        entry = await self._store.transfer(transfer.id)
        if entry is None:
            return False
        if (entry.credit, entry.units) != (transfer.credit, transfer.units):
            raise IdempotencyMismatch("the id was used for another top-up")
        return True

    def _opened(self, row: ChannelRow) -> OpenedRow:
        _require_open(row)
        unsigned = DepositStatement(row.channel, row.deposit, row.fee_ppm, self._clock() // 1000)
        signature = self._signer.sign(unsigned.signing_bytes())
        return OpenedRow(row, replace(unsigned, signature=signature))


def _require_open(row: ChannelRow) -> None:
    if row.state is not ChannelState.OPEN:
        raise StateConflict(f"the channel is {row.state.value}", state=row.state.value)


def _opening(row: ChannelRow) -> Command:
    channel = row.channel.hex()
    account = names.channel_account(row.channel)
    return (
        OpenAccount(names.customer(row.opener, row.currency), row.currency, Floor.NOT_NEGATIVE),
        OpenAccount(account, row.currency, Floor.NOT_NEGATIVE),
        Transfer(
            row.opened_by,
            names.customer(row.opener, row.currency),
            account,
            row.opened_units,
            row.currency,
            "channel.open",
        ),
        put_channel(row, 0),
        PutRecord(names.CHANNEL_OF_OPENER, owned_id(row.opener, channel), 0, b"{}"),
        PutRecord(names.CHANNEL_OF_PAYEE, owned_id(row.payee, channel), 0, b"{}"),
    )
