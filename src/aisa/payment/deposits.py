"""Deposits: what became final on a network is credited once, in the commit that moves the cursor.

What may not be credited (a cap, an account that nobody has) is held in suspense, visible to its
owner, and credited as soon as it may be. Nothing that came in is ever lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from aisa.client.message import DepositState
from aisa.ledger.account import Floor, OpenAccount
from aisa.ledger.outcome import Operation, require_applied
from aisa.ledger.record import PutRecord, Record
from aisa.ledger.store import Store
from aisa.ledger.transfer import Transfer
from aisa.money import PegTable, Token
from aisa.payment import names
from aisa.payment.commit import commit
from aisa.payment.pages import every_record, owned_id, owned_page
from aisa.payment.terms import TermsTable, fee_of
from aisa.settlement.rail import Deposit, Rail

CHUNK: Final = 20
"""Deposits of one commit; the ledger bounds the operations of a command."""

_UNASSIGNED: Final = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositRow:
    """One deposit; `units` before our fee, and `dust` in the token's own units."""

    id: str
    key: bytes
    asset: str
    currency: str
    units: int
    fee_units: int
    dust: int
    state: DepositState
    reference: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class StoredDeposit:
    """A deposit's row, and when it was last written."""

    row: DepositRow
    at_ms: int


class Deposits:
    """Credits what rails report, with a durable cursor for each network.

    `on_received` is told network and account of each new deposit.
    """

    def __init__(
        self,
        store: Store,
        terms: TermsTable,
        pegs: PegTable,
        *,
        on_received: Callable[[str, str], None] = lambda _network, _account: None,
    ) -> None:
        self._store = store
        self._on_received = on_received
        self._terms = terms
        self._pegs = pegs
        self._cursors: dict[str, bytes] = {}
        self._held: set[tuple[bytes, str]] | None = None

    async def step(self, rail: Rail) -> int:
        """Credit the next deposits of a rail and return how many were new.

        Raises:
            RailUnavailable: the network does not answer; nothing changed.
        """
        record = await self._store.record(names.DEPOSIT_CURSOR, rail.network)
        stored = b"" if record is None else record.body
        incoming = await rail.incoming(self._cursors.get(rail.network, stored))
        fresh = [one for one in incoming.deposits if not await self._is_known(one)]
        chunks = [fresh[at : at + CHUNK] for at in range(0, len(fresh), CHUNK)]
        for chunk in chunks[:-1]:
            await self._credit(chunk, ())
        if chunks or (incoming.deposits and incoming.cursor != stored):
            version = 0 if record is None else record.version
            put = PutRecord(names.DEPOSIT_CURSOR, rail.network, version, incoming.cursor)
            await self._credit(chunks[-1] if chunks else [], (put,))
        # A cursor that moved over nothing of ours is worth no commit: it is found again.
        self._cursors[rail.network] = incoming.cursor
        for one in fresh:
            self._on_received(one.network, one.account)
        return len(fresh)

    async def release_held(self) -> int:
        """Credit held deposits whose reason has gone, and return how many."""
        if self._held is None:
            self._held = set()
            async for mark in every_record(self._store, names.HELD_DEPOSIT):
                row = msgspec.json.decode(mark.body, type=DepositRow)
                if row.state is DepositState.HELD and row.key:
                    self._held.add((row.key, row.id))
        released = 0
        for key, deposit_id in tuple(self._held):
            released += await self._release(key, deposit_id)
        return released

    async def page(
        self, key: bytes, after: str | None, limit: int
    ) -> tuple[list[StoredDeposit], str | None]:
        """Return a key's deposits by id, and where the next page starts."""
        records = await owned_page(self._store, names.DEPOSIT, key, after, limit)
        found = [StoredDeposit(_row_in(record), record.at_ms) for record in records]
        return found, found[-1].row.id if len(found) == limit else None

    async def _is_known(self, deposit: Deposit) -> bool:
        record_id = owned_id(_key_of(deposit.account), deposit.id)
        return await self._store.record(names.DEPOSIT, record_id) is not None

    async def _credit(self, deposits: Sequence[Deposit], cursor: tuple[PutRecord, ...]) -> None:
        operations: list[Operation] = []
        rows: list[DepositRow] = []
        coming: dict[str, int] = {}
        for deposit in deposits:
            row = await self._judge(deposit, coming)
            rows.append(row)
            operations += _operations(row, deposit.token)
        require_applied(await commit(self._store, "deposit", (*operations, *cursor)))
        if self._held is not None:
            self._held |= {(r.key, r.id) for r in rows if r.state is DepositState.HELD and r.key}

    async def _judge(self, deposit: Deposit, coming: dict[str, int]) -> DepositRow:
        """Decide whether a deposit is credited or held; `coming` sums what this commit brings."""
        token = deposit.token
        terms = self._terms.of(token.currency)
        units, rest = token.to_ledger(deposit.units, terms.currency.scale)
        row = DepositRow(
            id=deposit.id,
            key=_key_of(deposit.account),
            asset=token.asset,
            currency=token.currency,
            units=units,
            fee_units=fee_of(units, terms.deposit_fee_ppm),
            dust=rest,
            state=DepositState.CREDITED,
            reference=deposit.reference,
        )
        reason = await self._reason_to_hold(row, token, coming)
        if reason is not None:
            return replace(row, state=DepositState.HELD, reason=reason)
        account = names.customer(row.key, row.currency)
        for name in (account, names.outside(token)):
            coming[name] = coming.get(name, 0) + units
        return row

    async def _reason_to_hold(
        self, row: DepositRow, token: Token, coming: dict[str, int]
    ) -> str | None:
        if row.key == _UNASSIGNED:
            return "no account has this address"
        outside = names.outside(token)
        exposure = -(await self._store.balance(outside)).units
        exposure_max = self._pegs.at_par(token.asset, token.currency).exposure_units_max
        already_in = row.units if row.state is DepositState.HELD else 0
        if exposure - already_in + coming.get(outside, 0) + row.units > exposure_max:
            return f"the node holds as much {token.symbol} as it may"
        account = names.customer(row.key, row.currency)
        held = (await self._store.balance(account)).units + coming.get(account, 0)
        cap = self._terms.of(row.currency).account_cap_units
        if held + row.units - row.fee_units > cap:
            return f"the account would pass its cap of {cap} units"
        return None

    async def _release(self, key: bytes, deposit_id: str) -> int:
        record = await self._store.record(names.DEPOSIT, owned_id(key, deposit_id))
        mark = await self._store.record(names.HELD_DEPOSIT, deposit_id)
        if record is None or mark is None:
            return 0
        row = _row_in(record)
        token = next(one for one in self._pegs.tokens if one.asset == row.asset)
        if await self._reason_to_hold(row, token, {}) is not None:
            return 0
        credited = replace(row, state=DepositState.CREDITED, reason=None)
        body = msgspec.json.encode(credited)
        source = names.suspense(row.currency)
        command = (
            *_credit_legs(credited, f"{row.id}.release", source, "deposit.release"),
            PutRecord(names.DEPOSIT, record.id, record.version, body),
            PutRecord(names.HELD_DEPOSIT, deposit_id, mark.version, body),
        )
        require_applied(await commit(self._store, "release", command))
        if self._held is not None:
            self._held.discard((key, deposit_id))
        return 1


def _operations(row: DepositRow, token: Token) -> list[Operation]:
    outside = names.outside(token)
    operations: list[Operation] = [OpenAccount(outside, row.currency, Floor.NONE)]
    body = msgspec.json.encode(row)
    if not row.units:
        pass
    elif row.state is DepositState.CREDITED:
        operations += _credit_legs(row, row.id, outside, "deposit")
    else:
        held = names.suspense(row.currency)
        operations += [
            OpenAccount(held, row.currency, Floor.NOT_NEGATIVE),
            _move(row.id, outside, held, row.units, row, "deposit.held"),
            PutRecord(names.HELD_DEPOSIT, row.id, 0, body),
        ]
    if row.dust:
        operations += _dust_legs(row, token)
    return [*operations, PutRecord(names.DEPOSIT, owned_id(row.key, row.id), 0, body)]


def _credit_legs(row: DepositRow, transfer_id: str, source: str, code: str) -> list[Operation]:
    account = names.customer(row.key, row.currency)
    operations: list[Operation] = [
        OpenAccount(account, row.currency, Floor.NOT_NEGATIVE),
        _move(transfer_id, source, account, row.units, row, code),
    ]
    if row.fee_units:
        fees = names.fees(row.currency)
        operations += [
            OpenAccount(fees, row.currency, Floor.NOT_NEGATIVE),
            _move(f"{transfer_id}.fee", account, fees, row.fee_units, row, "deposit.fee"),
        ]
    return operations


def _move(
    transfer_id: str, debit: str, credit: str, units: int, row: DepositRow, code: str
) -> Transfer:
    return Transfer(transfer_id, debit, credit, units, row.currency, code, row.reference[:512])


def _dust_legs(row: DepositRow, token: Token) -> list[Operation]:
    unit = names.dust_currency(token)
    source, target = names.outside_dust(token), names.dust(token)
    return [
        OpenAccount(source, unit, Floor.NONE),
        OpenAccount(target, unit, Floor.NOT_NEGATIVE),
        Transfer(f"{row.id}.dust", source, target, row.dust, unit, "deposit.dust"),
    ]


def _row_in(record: Record) -> DepositRow:
    return msgspec.json.decode(record.body, type=DepositRow)


def _key_of(account: str) -> bytes:
    """Return the key in a rail's name for an account; none for what this node never gave out."""
    try:
        key = bytes.fromhex(account)
    except ValueError:
        return _UNASSIGNED
    return key if len(key) == 32 else _UNASSIGNED
