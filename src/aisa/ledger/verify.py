"""Verification: fold every row again, and name the first one that is not as it must be.

For each batch: are its rows all there, do they hash to what the chain says, and does the book, given
the commands that the rows stand for, write exactly these rows? At the end: is everything that is kept
beside the rows (balances, holds, heads of records) what the rows add up to?
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from aisa.ledger import chain
from aisa.ledger.account import Floor, OpenAccount
from aisa.ledger.archive import Archive
from aisa.ledger.book import Book
from aisa.ledger.chain import Link
from aisa.ledger.memory import MemoryState
from aisa.ledger.outcome import Command, Operation
from aisa.ledger.record import PutRecord
from aisa.ledger.row import AccountRow, Batch, RecordRow, Row, TransferRow
from aisa.ledger.store import BadRow, Progress, VerifyReport
from aisa.ledger.transfer import EntryKind, Hold, HoldStatus, PostHold, Transfer, VoidHold

_ENCODE = msgspec.msgpack.Encoder().encode


def digest(archive: Archive) -> str:
    """Return the hash of all rows in canonical order: equal for equal contents."""
    state = hashlib.sha256(b"AISA-LEDGER-DIGEST/1")
    for row in archive.canonical():
        state.update(_ENCODE(row))
    return state.hexdigest()


def verify(archive: Archive, progress: Progress | None = None) -> VerifyReport:
    """Fold the archive again; memory grows with accounts, open holds and records, not with rows."""
    return _Refold(archive).run(progress)


class _Bad(Exception):
    def __init__(self, table: str, key: object, what: str) -> None:
        super().__init__(what)
        self.row = BadRow(table, str(key), what)


class _Refold:
    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.state = MemoryState(forget=True)
        self.book = Book(self.state)
        self.batches: int = 0
        self.last = 0
        self.at_ms = 0
        self.hash = chain.GENESIS
        self.hold_count = 0
        self.heads: dict[tuple[str, str], tuple[int, int]] = {}
        self.names: dict[int, AccountRow] = {}
        self.hold_ids: dict[int, str] = {}

    def run(self, progress: Progress | None) -> VerifyReport:
        bad = None
        total = self.archive.last()
        try:
            damage = self.archive.damage()
            if damage is not None:
                raise _Bad(damage[0], "", damage[1])
            for link in self.archive.links():
                self._batch(link)
                if progress is not None:
                    progress(self.last, total)
            self._ends()
        except _Bad as found:
            bad = found.row
        return VerifyReport(self.batches, self.last, self.hash.hex(), bad)

    def _batch(self, link: Link) -> None:
        if link.number != self.batches + 1 or link.first != self.last + 1:
            raise _Bad("batch", self.batches + 1, "is missing, or does not follow the one before")
        rows = self.archive.rows(link.first, link.last)
        self._check_chain(link, rows)
        batch = self.book.fold(list(self._commands(rows)), link.at_ms)
        self._compare(rows, batch)
        self.state.apply(batch)
        self._check_holds(batch)
        for row in map(RecordRow._make, batch.records):
            self.heads[row.kind, row.id] = (row.version, row.seq)
        self.batches, self.last, self.at_ms, self.hash = (
            link.number,
            link.last,
            link.at_ms,
            link.hash,
        )

    def _check_chain(self, link: Link, rows: Sequence[Row]) -> None:
        for seq, row in zip(range(link.first, link.last + 1), rows, strict=False):
            if row.seq < seq:
                raise _bad(row, "shares its place with another row")
            if row.seq > seq:
                raise _Bad("row", seq, f"is missing from batch {link.number}")
        if len(rows) < link.last - link.first + 1:
            raise _Bad("row", link.first + len(rows), f"is missing from batch {link.number}")
        if len(rows) > link.last - link.first + 1:
            raise _bad(rows[-1], "shares its place with another row")
        made = chain.link(link.number, self.hash, link.at_ms, rows)
        if made.rows_hash != link.rows_hash:
            index = chain.first_difference(link.marks, rows)
            if index is not None:
                raise _bad(rows[index], "is not what was committed")
            raise _Bad("batch", link.number, "its hash is not that of its rows")
        if made.hash != link.hash or link.at_ms < self.at_ms:
            raise _Bad("batch", link.number, "does not chain to the batch before")
        if made.marks != link.marks:
            raise _Bad("batch", link.number, "its marks are not those of its rows")

    def _compare(self, rows: Sequence[Row], batch: Batch) -> None:
        folded = batch.rows()
        refused = next((one.reason for one in batch.outcomes if one.reason is not None), None)
        why = f"breaks a rule ({refused.name})" if refused else "is not what the rules make of it"
        for index, row in enumerate(rows):
            if index >= len(folded) or tuple(folded[index]) != row:
                raise _bad(row, why)

    def _check_holds(self, batch: Batch) -> None:
        """Compare the holds that this batch resolved, which is final; open ones wait for the end."""
        resolved = [row for row in batch.holds if row[1] != HoldStatus.OPEN]
        stored = self.archive.holds([row[0] for row in resolved])
        for row in resolved:
            self._check_hold(tuple(row), stored.get(row[0]))
            del self.hold_ids[row[0]]
        self.hold_count += sum(row[3] == EntryKind.HOLD for row in batch.transfers)

    def _check_hold(self, folded: tuple[object, ...], stored: tuple[object, ...] | None) -> None:
        key = self.hold_ids[int(str(folded[0]))]
        if stored is None:
            raise _Bad("hold", key, "is missing")
        if folded != stored:
            raise _Bad("hold", key, f"says {stored[1:]}, the rows say {folded[1:]}")

    def _commands(self, rows: Sequence[Row]) -> Iterator[Command]:
        """Yield the commands that the rows stand for; expiries happen by themselves."""
        command: list[Operation] = []
        for row in rows:
            if isinstance(row, TransferRow) and row.kind == EntryKind.EXPIRE:
                continue
            try:
                command.append(self._operation(row))
            except (KeyError, ValueError) as error:
                raise _bad(row, "names something that is not there") from error
            if not row.linked:
                yield tuple(command)
                command.clear()
        if command:
            raise _bad(rows[-1], "is linked to a row of another batch")

    def _operation(self, row: Row) -> Operation:
        match row:
            case AccountRow():
                self.names[row.seq] = row
                return OpenAccount(row.name, row.currency, Floor(row.floor))
            case RecordRow():
                return PutRecord(row.kind, row.id, row.version - 1, row.body)
            case TransferRow():
                return self._entry(row)

    def _entry(self, row: TransferRow) -> Operation:
        match EntryKind(row.kind):
            case EntryKind.POST:
                return PostHold(row.id, self.hold_ids[row.hold or 0], row.units)
            case EntryKind.VOID | EntryKind.EXPIRE:
                return VoidHold(row.id, self.hold_ids[row.hold or 0])
            case EntryKind.TRANSFER:
                return Transfer(row.id, *self._sides(row), row.code, row.reference)
            case EntryKind.HOLD:
                self.hold_ids[row.seq] = row.id
                sides = self._sides(row)
                return Hold(row.id, *sides, row.code, row.expires_at_ms, row.reference)

    def _sides(self, row: TransferRow) -> tuple[str, str, int, str]:
        debit = self.names[row.debit]
        return debit.name, self.names[row.credit].name, row.units, debit.currency

    def _ends(self) -> None:
        for table, key in self.archive.strays(self.last):
            raise _Bad(table, key, "belongs to no batch")
        self._check_balances()
        self._check_open_holds()
        left = dict(self.heads)
        for kind, key, version, seq in self.archive.heads():
            if left.pop((kind, key), None) != (version, seq):
                raise _Bad("record_head", f"{kind}/{key}", f"version {version} is not the last")
        for kind, key in left:
            raise _Bad("record_head", f"{kind}/{key}", "is missing")

    def _check_balances(self) -> None:
        seen = 0
        totals: dict[str, int] = {}
        for name, (_, *sums) in self.archive.balances():
            position = self.state.accounts.get(name)
            if position is None:
                raise _Bad("balance", name, "belongs to no account")
            if position.sums != tuple(sums):
                what = f"says {tuple(sums)}, the transfers add up to {position.sums}"
                raise _Bad("balance", name, what)
            seen += 1
            currency = position.row.currency
            totals[currency] = totals.get(currency, 0) + sums[0] + sums[2] - sums[1] - sums[3]
        if seen != len(self.state.accounts):
            raise _Bad("balance", self._without_balance(), "is missing")
        for currency, total in totals.items():
            if total:
                raise _Bad("balance", currency, f"debits less credits are {total}, not 0")

    def _without_balance(self) -> str:
        stored = {name for name, _ in self.archive.balances()}
        return min(self.state.accounts.keys() - stored)

    def _check_open_holds(self) -> None:
        open_holds = list(self.state.holds.values())
        for start in range(0, len(open_holds), 500):
            part = open_holds[start : start + 500]
            stored = self.archive.holds([row.seq for row in part])
            for row in part:
                self._check_hold(tuple(row), stored.get(row.seq))
        count = self.archive.hold_count()
        if count != self.hold_count:
            raise _Bad("hold", "", f"{count} are kept, the rows made {self.hold_count}")


def _bad(row: Row, what: str) -> _Bad:
    what = f"{what} (row {row.seq})"
    match row:
        case AccountRow():
            return _Bad("account", row.name, what)
        case TransferRow():
            return _Bad("transfer", row.id, what)
        case RecordRow():
            return _Bad("record", f"{row.kind}/{row.id}/{row.version}", what)
