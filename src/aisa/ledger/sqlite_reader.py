# ruff: noqa: S608 - only names of ours are put into SQL
"""Questions to a SQLite ledger, each answered from what is committed."""

from __future__ import annotations

import sqlite3
from typing import Any

from aisa.errors import Internal
from aisa.ledger.account import EMPTY, Account, Balance, Floor
from aisa.ledger.record import Record
from aisa.ledger.store import PAGE_MAX
from aisa.ledger.transfer import Entry, EntryKind, HoldState, HoldStatus

_ENTRY = """SELECT one.seq, one.id, one.kind, debit.name, credit.name, one.units, debit.currency,
    one.code, one.reference, held.id, one.expires_at_ms, one.at_ms"""
_ENTRY_JOINS = """
    JOIN account AS debit ON debit.seq = one.debit
    JOIN account AS credit ON credit.seq = one.credit
    LEFT JOIN transfer AS held ON held.seq = one.hold"""
# Two index scans, each stopped by the limit, rather than one over everything with an OR.
_HISTORY = f"""{_ENTRY} FROM (
        SELECT * FROM (SELECT * FROM transfer WHERE debit = :account AND seq < :before
            ORDER BY seq DESC LIMIT :limit)
        UNION ALL
        SELECT * FROM (SELECT * FROM transfer WHERE credit = :account AND seq < :before
            ORDER BY seq DESC LIMIT :limit)
    ) AS one {_ENTRY_JOINS} ORDER BY one.seq DESC LIMIT :limit"""
_SUMS = "debits_posted, credits_posted, debits_pending, credits_pending"
# What entries after a row did to one side of an account: to its posted sum, to its pending sum.
_SINCE = """SELECT
    coalesce(sum(CASE WHEN one.kind <> 1 THEN one.units ELSE 0 END), 0),
    coalesce(sum(CASE WHEN one.kind = 1 THEN one.units
        WHEN one.kind > 1 THEN -held.units ELSE 0 END), 0)
    FROM transfer AS one LEFT JOIN transfer AS held ON held.seq = one.hold
    WHERE one.{side} = ? AND one.seq > ?"""
_LAST = 2**63 - 1


class SqliteReader:
    """Short questions; none takes longer than a page of rows, `balance_at` and `total` aside.

    Raises:
        Internal: from any of them, if the file cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def balance(self, account: str) -> Balance:
        """Return an account's sums; zeros if it is not open."""
        sql = f"""SELECT {_SUMS} FROM account JOIN balance ON balance.account = account.seq
            WHERE name = ?"""
        row = self._one(sql, account)
        return EMPTY if row is None else Balance(*row)

    def balance_at(self, account: str, at_ms: int) -> Balance:
        """Return an account's sums after the last batch not later than `at_ms`.

        What came later is taken off today's sums, so a recent time is quick.
        """
        self._connection.execute("BEGIN")
        try:
            now = self.balance(account)
            row = self._one("SELECT seq FROM account WHERE name = ?", account)
            if row is None:
                return EMPTY
            sql = "SELECT coalesce(max(last), 0) FROM batch WHERE at_ms <= ?"
            last = (self._one(sql, at_ms) or (0,))[0]
            debits = self._one(_SINCE.format(side="debit"), row[0], last) or (0, 0)
            credits_ = self._one(_SINCE.format(side="credit"), row[0], last) or (0, 0)
        finally:
            self._connection.execute("COMMIT")
        return Balance(
            now.debits_posted - debits[0],
            now.credits_posted - credits_[0],
            now.debits_pending - debits[1],
            now.credits_pending - credits_[1],
        )

    def total(self, prefix: str, currency: str) -> Balance:
        """Return the sums of all accounts of a currency whose names begin with `prefix`."""
        rows = self._all(
            f"""SELECT {_SUMS} FROM account JOIN balance ON balance.account = account.seq
                WHERE name >= ? AND name < ? AND currency = ?""",
            (prefix, prefix + "\x7f", currency),
        )
        sums = [0, 0, 0, 0]
        for row in rows:
            for column, units in enumerate(row):
                sums[column] += units
        return Balance(*sums)

    def account(self, name: str) -> Account | None:
        """Return an open account."""
        sql = "SELECT name, currency, floor, at_ms FROM account WHERE name = ?"
        row = self._one(sql, name)
        return None if row is None else Account(row[0], row[1], Floor(row[2]), row[3])

    def accounts(self, prefix: str, after: str, limit: int) -> list[Account]:
        """Return accounts by name."""
        rows = self._all(
            """SELECT name, currency, floor, at_ms FROM account
                WHERE name >= ? AND name < ? AND name > ? ORDER BY name LIMIT ?""",
            (prefix, prefix + "\x7f", after, _page(limit)),
        )
        return [Account(name, currency, Floor(floor), at) for name, currency, floor, at in rows]

    def transfer(self, entry_id: str) -> Entry | None:
        """Return the entry with that id."""
        row = self._one(f"{_ENTRY} FROM transfer AS one {_ENTRY_JOINS} WHERE one.id = ?", entry_id)
        return None if row is None else _entry(row)

    def history(self, account: str, before: int | None, limit: int) -> list[Entry]:
        """Return an account's entries, newest first."""
        found = self._one("SELECT seq FROM account WHERE name = ?", account)
        if found is None:
            return []
        values = {
            "account": found[0],
            "before": _LAST if before is None else before,
            "limit": _page(limit),
        }
        return [_entry(row) for row in self._all(_HISTORY, values)]

    def hold(self, hold_id: str) -> HoldState | None:
        """Return the hold with that id and where it stands."""
        entry = self.transfer(hold_id)
        if entry is None:
            return None
        row = self._one("SELECT status, posted_units FROM hold WHERE seq = ?", entry.seq)
        return None if row is None else HoldState(entry, HoldStatus(row[0]), row[1])

    def due(self, now_ms: int) -> int:
        """Return how many open holds are due."""
        row = self._one("SELECT count(*) FROM hold WHERE status = 0 AND expires_at_ms <= ?", now_ms)
        return 0 if row is None else row[0]

    def record(self, kind: str, record_id: str) -> Record | None:
        """Return the current version of a record."""
        row = self._one(
            """SELECT record.kind, record.id, record.version, body, at_ms
                FROM record_head JOIN record ON record.seq = record_head.seq
                WHERE record_head.kind = ? AND record_head.id = ?""",
            kind,
            record_id,
        )
        return None if row is None else Record(*row)

    def records(self, kind: str, after: str, limit: int) -> list[Record]:
        """Return the current versions of a kind's records by id."""
        rows = self._all(
            """SELECT record.kind, record.id, record.version, body, at_ms
                FROM record_head JOIN record ON record.seq = record_head.seq
                WHERE record_head.kind = ? AND record_head.id > ?
                ORDER BY record_head.id LIMIT ?""",
            (kind, after, _page(limit)),
        )
        return [Record(*row) for row in rows]

    def _one(self, sql: str, *values: str | int) -> tuple[Any, ...] | None:
        rows = self._all(sql, values)
        return rows[0] if rows else None

    def _all(
        self, sql: str, values: tuple[str | int, ...] | dict[str, int]
    ) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise Internal(f"the ledger could not be read: {error}") from error


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(row[0], row[1], EntryKind(row[2]), *row[3:])


def _page(limit: int) -> int:
    return max(1, min(limit, PAGE_MAX))
