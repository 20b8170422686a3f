"""The rules of the ledger: a pure state machine, and the specification of every store.

A `Book` folds batches of commands into rows and answers. It does no I/O and reads no clock: what
happened before is read through `State`, and the time of a batch is given. A store commits the rows of
a batch before it gives any of the answers; if it cannot, the book is ahead of the disk and is thrown
away.

A command is decided in four steps, and the first step with a finding gives the reason:

1. shape: bounds of texts and numbers (`shape.py`);
2. ids: all known with the same bodies → REPEATED; known otherwise → refused;
3. operations, in order, each seeing those before it; one refused undoes the command;
4. floors of the accounts that the command debited, after the whole command.

Every entry debits and credits the same units of one currency, so that debits equal credits for each
currency, posted and pending, after every command.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from aisa.errors import LedgerCorrupt
from aisa.ledger import shape
from aisa.ledger.account import Floor, OpenAccount
from aisa.ledger.outcome import APPLIED, REPEATED, Command, Operation, Outcome, Reason, Status
from aisa.ledger.record import PutRecord
from aisa.ledger.row import (
    AccountRow,
    AccountTuple,
    Batch,
    HoldRow,
    HoldTuple,
    RecordTuple,
    TransferRow,
    TransferTuple,
)
from aisa.ledger.shape import UNITS_MAX
from aisa.ledger.state import Position, State
from aisa.ledger.transfer import (
    EXPIRY_PREFIX,
    EntryKind,
    Hold,
    HoldStatus,
    PostHold,
    Transfer,
    VoidHold,
)

EXPIRIES_MAX = 1_000
"""Holds released at the start of one batch; later ones wait for the next, but cannot be posted."""

# Rows hold plain integers: an enum member costs a look-up and a conversion for every row.
_TRANSFER = int(EntryKind.TRANSFER)
_HOLD = int(EntryKind.HOLD)
# A union written out in a call is made anew at each: a microsecond for each command.
_UNNAMED = (OpenAccount, PutRecord)
_RESOLVING = (PostHold, VoidHold)
_NOT_NEGATIVE = int(Floor.NOT_NEGATIVE)
_OPEN = int(HoldStatus.OPEN)
_RESOLVED = {
    int(HoldStatus.POSTED): Reason.HOLD_POSTED,
    int(HoldStatus.VOIDED): Reason.HOLD_VOIDED,
    int(HoldStatus.EXPIRED): Reason.HOLD_EXPIRED,
}
_STATUS = {
    EntryKind.POST: int(HoldStatus.POSTED),
    EntryKind.VOID: int(HoldStatus.VOIDED),
    EntryKind.EXPIRE: int(HoldStatus.EXPIRED),
}


class Book:
    """Folds commands over what a `State` remembers; keeps the accounts in use in memory."""

    def __init__(self, state: State, *, last_seq: int = 0, accounts_max: int = 100_000) -> None:
        self.state = state
        self.last_seq = last_seq
        self._accounts_max = accounts_max
        self._by_name: dict[str, Position] = {}
        self._by_seq: dict[int, Position] = {}

    def fold(self, commands: Sequence[Command], at_ms: int) -> Batch:
        """Decide a batch at one time, which must not be before that of the last batch."""
        if len(self._by_name) > self._accounts_max:
            self._by_name.clear()
            self._by_seq.clear()
        batch = _Fold(self, at_ms).run(commands)
        self.last_seq += len(batch.accounts) + len(batch.transfers) + len(batch.records)
        return batch

    def position(self, name: str) -> Position | None:
        """Return the account of that name as of the last fold."""
        found = self._by_name.get(name)
        return found or self._keep(self.state.account(name))

    def position_at(self, seq: int) -> Position:
        """Return the account that row `seq` opened.

        Raises:
            LedgerCorrupt: there is none, although a row refers to it.
        """
        found = self._by_seq.get(seq) or self._keep(self.state.account_at(seq))
        if found is None:
            raise LedgerCorrupt(f"row {seq} is referred to, but opens no account", row=seq)
        return found

    def add(self, position: Position) -> None:
        """Take in an account that was just opened."""
        self._by_name[position.row.name] = position
        self._by_seq[position.row.seq] = position

    def forget(self, position: Position) -> None:
        """Leave out an account whose opening was undone."""
        del self._by_name[position.row.name]
        del self._by_seq[position.row.seq]

    def _keep(self, position: Position | None) -> Position | None:
        if position is not None:
            self.add(position)
        return position


class _Fold:
    """One batch in the making, with what it takes to undo the command at hand."""

    def __init__(self, book: Book, at_ms: int) -> None:
        self.book = book
        self.state = book.state
        self.at_ms = at_ms
        self.seq = book.last_seq
        self.accounts: list[AccountTuple] = []
        self.transfers: list[TransferTuple] = []
        self.records: list[RecordTuple] = []
        self.known: dict[str, TransferTuple] = {}
        self.holds: dict[int, HoldTuple] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self.touched: dict[int, Position] = {}
        # Of the command at hand:
        self.linked = 0
        self.debited: dict[int, tuple[Position, int]] = {}
        self.shifts: list[tuple[Position, Position, int, int]] = []
        self.saved_holds: list[tuple[int, HoldTuple | None]] = []
        self.saved_versions: list[tuple[tuple[str, str], int]] = []

    def run(self, commands: Sequence[Command]) -> Batch:
        outcomes = [shape.check(command) for command in commands]
        self.known.update(self.state.transfers(_ids(commands, outcomes)))
        for row in self.state.due(self.at_ms, EXPIRIES_MAX):
            self._resolve(EntryKind.EXPIRE, EXPIRY_PREFIX + row.id, row, 0)
        decided = [
            self._decide(command) if outcome is None else outcome
            for command, outcome in zip(commands, outcomes, strict=True)
        ]
        return Batch(
            self.at_ms,
            decided,
            self.accounts,
            self.transfers,
            self.records,
            [(seq, *position.sums) for seq, position in self.touched.items()],
            list(self.holds.values()),
        )

    def _decide(self, command: Command) -> Outcome:
        outcome = self._check_ids(command)
        if outcome is not None:
            return outcome
        marks = (self.seq, len(self.accounts), len(self.transfers), len(self.records))
        self._begin(command)
        for index, operation in enumerate(command):
            reason = self._apply(operation, index)
            if reason is not None:
                self._undo(marks)
                return Outcome(Status.REFUSED, reason, index)
        for position, index in self.debited.values():
            if position.row.floor == _NOT_NEGATIVE and _available(position) < 0:
                self._undo(marks)
                return Outcome(Status.REFUSED, Reason.BELOW_FLOOR, index)
        if self.seq == marks[0]:
            return REPEATED
        if self.linked:
            self._end_link()
        return APPLIED

    # Step 2: ids

    def _check_ids(self, command: Command) -> Outcome | None:
        repeated = 0
        fresh: int | None = None
        seen: set[str] = set()
        for index, operation in enumerate(command):
            if isinstance(operation, _UNNAMED):
                continue
            row = self.known.get(operation.id)
            if operation.id in seen or (row is not None and not self._is_same(operation, row)):
                return Outcome(Status.REFUSED, Reason.ID_REUSED, index)
            seen.add(operation.id)
            if row is not None:
                repeated += 1
            elif fresh is None:
                fresh = index
        if not repeated:
            return None
        if fresh is not None:
            return Outcome(Status.REFUSED, Reason.LINK_CHANGED, fresh)
        return self._check_companions(command)

    def _check_companions(self, command: Command) -> Outcome:
        """Decide whether accounts and records beside repeated transfers are those of the first time."""
        for index, operation in enumerate(command):
            if isinstance(operation, PutRecord) and not self._was_put(operation):
                return Outcome(Status.REFUSED, Reason.LINK_CHANGED, index)
            if isinstance(operation, OpenAccount):
                position = self.book.position(operation.account)
                if position is None:
                    return Outcome(Status.REFUSED, Reason.LINK_CHANGED, index)
                if not _is_open_as(position.row, operation):
                    return Outcome(Status.REFUSED, Reason.ACCOUNT_DIFFERS, index)
        return REPEATED

    def _was_put(self, operation: PutRecord) -> bool:
        version = operation.expected_version + 1
        for row in self.records:
            if row[2:5] == (operation.kind, operation.id, version):
                return row[5] == operation.body
        stored = self.state.record(operation.kind, operation.id, version)
        return stored is not None and stored.body == operation.body

    def _is_same(
        self, operation: Transfer | Hold | PostHold | VoidHold, row: TransferTuple
    ) -> bool:
        stored = TransferRow(*row)
        if isinstance(operation, PostHold | VoidHold):
            hold = self.known.get(operation.hold)
            if hold is None or stored.hold != hold[0]:
                return False
            if isinstance(operation, VoidHold):
                return stored.kind == EntryKind.VOID
            units = hold[6] if operation.units is None else operation.units
            return stored.kind == EntryKind.POST and stored.units == units
        debit, credit = self.book.position_at(stored.debit), self.book.position_at(stored.credit)
        body = (
            debit.row.name,
            credit.row.name,
            stored.units,
            debit.row.currency,
            stored.code,
            stored.reference,
        )
        if body != (
            operation.debit,
            operation.credit,
            operation.units,
            operation.currency,
            operation.code,
            operation.reference,
        ):
            return False
        if isinstance(operation, Hold):
            return stored.kind == _HOLD and stored.expires_at_ms == operation.expires_at_ms
        return stored.kind == _TRANSFER

    # Step 3: operations

    def _apply(self, operation: Operation, index: int) -> Reason | None:
        match operation:
            case Transfer():
                return self._move(operation, _TRANSFER, index)
            case Hold():
                return self._move(operation, _HOLD, index)
            case PostHold():
                return self._finish(EntryKind.POST, operation.id, operation.hold, operation.units)
            case VoidHold():
                return self._finish(EntryKind.VOID, operation.id, operation.hold, 0)
            case PutRecord():
                return self._put(operation)
            case OpenAccount():
                return self._open(operation)

    def _open(self, operation: OpenAccount) -> Reason | None:
        position = self.book.position(operation.account)
        if position is not None:
            same = _is_open_as(position.row, operation)
            return None if same else Reason.ACCOUNT_DIFFERS
        self.seq = seq = self.seq + 1
        row = AccountRow(
            seq,
            self.linked,
            operation.account,
            operation.currency,
            int(operation.floor),
            self.at_ms,
        )
        position = Position(row)
        self.accounts.append(row)
        self.book.add(position)
        self.touched[seq] = position
        return None

    def _move(self, operation: Transfer | Hold, kind: int, index: int) -> Reason | None:
        debit = self.book.position(operation.debit)
        if debit is None:
            return Reason.DEBIT_NOT_FOUND
        credit = self.book.position(operation.credit)
        if credit is None:
            return Reason.CREDIT_NOT_FOUND
        if not debit.row.currency == credit.row.currency == operation.currency:
            return Reason.CURRENCY_MISMATCH
        expires = operation.expires_at_ms if isinstance(operation, Hold) else None
        if expires is not None and expires <= self.at_ms:
            return Reason.EXPIRY_PASSED
        if not _has_room(debit, credit, operation.units):
            return Reason.SUM_OVERFLOW
        if kind == _TRANSFER:
            self._shift(debit, credit, operation.units, 0)
        else:
            self._shift(debit, credit, 0, operation.units)
        self.debited.setdefault(debit.row.seq, (debit, index))
        self.seq = seq = self.seq + 1
        row = (
            seq,
            self.linked,
            operation.id,
            kind,
            debit.row.seq,
            credit.row.seq,
            operation.units,
            operation.code,
            operation.reference,
            None,
            expires,
            self.at_ms,
        )
        self.transfers.append(row)
        self.known[operation.id] = row
        if kind == _HOLD:
            self._set_hold((seq, _OPEN, 0, None, expires))
        return None

    def _shift(self, debit: Position, credit: Position, posted: int, pending: int) -> None:
        debit.debits_posted += posted
        credit.credits_posted += posted
        debit.debits_pending += pending
        credit.credits_pending += pending
        self.shifts.append((debit, credit, posted, pending))
        self.touched[debit.row.seq] = debit
        self.touched[credit.row.seq] = credit

    def _finish(
        self, kind: EntryKind, own_id: str, hold_id: str, units: int | None
    ) -> Reason | None:
        found = self.known.get(hold_id)
        if found is None or found[3] != _HOLD:
            return Reason.HOLD_NOT_FOUND
        hold = TransferRow(*found)
        standing = self.holds.get(hold.seq) or self.state.hold(hold.seq)
        if standing is None:
            return Reason.HOLD_NOT_FOUND
        status = HoldRow(*standing).status
        if status != _OPEN:
            return _RESOLVED[status]
        if hold.expires_at_ms is not None and hold.expires_at_ms <= self.at_ms:
            return Reason.HOLD_EXPIRED
        posted = hold.units if units is None else units
        if posted > hold.units:
            return Reason.UNITS_ABOVE_HOLD
        self._resolve(kind, own_id, hold, posted)
        return None

    def _resolve(self, kind: EntryKind, own_id: str, hold: TransferRow, posted: int) -> None:
        debit, credit = self.book.position_at(hold.debit), self.book.position_at(hold.credit)
        self._shift(debit, credit, posted, -hold.units)
        self.seq = seq = self.seq + 1
        row = TransferRow(
            seq,
            self.linked,
            own_id,
            int(kind),
            hold.debit,
            hold.credit,
            posted,
            hold.code,
            hold.reference,
            hold.seq,
            None,
            self.at_ms,
        )
        self.transfers.append(row)
        self.known[own_id] = row
        self._set_hold((hold.seq, _STATUS[kind], posted, seq, hold.expires_at_ms))

    def _put(self, operation: PutRecord) -> Reason | None:
        key = (operation.kind, operation.id)
        version = self.versions.get(key)
        if version is None:
            version = self.state.version(*key)
        if version != operation.expected_version:
            return Reason.RECORD_CHANGED
        self.seq = seq = self.seq + 1
        self.records.append(
            (seq, self.linked, *key, version + 1, operation.body, self.at_ms),
        )
        self.saved_versions.append((key, version))
        self.versions[key] = version + 1
        return None

    # Undoing a command

    def _begin(self, command: Command) -> None:
        self.linked = 1 if len(command) > 1 else 0
        self.debited.clear()
        self.shifts.clear()
        if self.saved_holds:
            self.saved_holds.clear()
        if self.saved_versions:
            self.saved_versions.clear()

    def _set_hold(self, standing: HoldTuple) -> None:
        self.saved_holds.append((standing[0], self.holds.get(standing[0])))
        self.holds[standing[0]] = standing

    def _undo(self, marks: tuple[int, int, int, int]) -> None:
        self.seq, accounts, transfers, records = marks
        for debit, credit, posted, pending in self.shifts:
            debit.debits_posted -= posted
            credit.credits_posted -= posted
            debit.debits_pending -= pending
            credit.credits_pending -= pending
        for seq, standing in reversed(self.saved_holds):
            if standing is None:
                del self.holds[seq]
            else:
                self.holds[seq] = standing
        for key, version in reversed(self.saved_versions):
            self.versions[key] = version
        for row in islice(self.transfers, transfers, None):
            del self.known[row[2]]
        for row in islice(self.accounts, accounts, None):
            self.book.forget(self.touched.pop(row[0]))
        del self.transfers[transfers:], self.accounts[accounts:], self.records[records:]

    def _end_link(self) -> None:
        """Mark the command's last row as not linked to the next."""
        if self.transfers and self.transfers[-1][0] == self.seq:
            self.transfers[-1] = (self.seq, 0, *self.transfers[-1][2:])
        elif self.records and self.records[-1][0] == self.seq:
            self.records[-1] = (self.seq, 0, *self.records[-1][2:])
        else:
            self.accounts[-1] = (self.seq, 0, *self.accounts[-1][2:])


def _ids(commands: Sequence[Command], outcomes: Sequence[Outcome | None]) -> set[str]:
    """Collect every id that the well-formed commands name."""
    ids: set[str] = set()
    for command, outcome in zip(commands, outcomes, strict=True):
        if outcome is not None:
            continue
        for operation in command:
            if isinstance(operation, _UNNAMED):
                continue
            ids.add(operation.id)
            if isinstance(operation, _RESOLVING):
                ids.add(operation.hold)
    return ids


def _is_open_as(row: AccountRow, operation: OpenAccount) -> bool:
    return row.currency == operation.currency and row.floor == operation.floor


def _has_room(debit: Position, credit: Position, units: int) -> bool:
    room = UNITS_MAX - units
    return (
        debit.debits_posted + debit.debits_pending <= room
        and credit.credits_posted + credit.credits_pending <= room
    )


def _available(position: Position) -> int:
    return position.credits_posted - position.debits_posted - position.debits_pending
