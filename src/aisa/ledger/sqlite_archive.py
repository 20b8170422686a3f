# ruff: noqa: S608 - only names of ours are put into SQL
"""A stored SQLite ledger as of one moment, for verification, digest and backup."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

from aisa.ledger.chain import Link
from aisa.ledger.row import (
    AccountRow,
    BalanceTuple,
    HoldRow,
    HoldTuple,
    RecordRow,
    Row,
    TransferRow,
)
from aisa.ledger.sqlite_schema import MIGRATIONS, connect

_TABLES = (("account", AccountRow), ("transfer", TransferRow), ("record", RecordRow))


@contextmanager
def open_archive(path: Path) -> Generator[SqliteArchive]:
    """Open a snapshot of the file, whether or not a node is writing to it."""
    connection = connect(path, readonly=True)
    # A text that was tampered with must be named, not stop the reading.
    connection.text_factory = _text
    try:
        connection.execute("BEGIN")
        yield SqliteArchive(connection)
    finally:
        connection.close()


class SqliteArchive:
    """Reads within one db transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def damage(self) -> tuple[str, str] | None:
        """Return where and what SQLite finds wrong with pages, indexes and migrations."""
        found = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            return "file", str(found)
        known = [(migration.version, migration.name) for migration in MIGRATIONS]
        applied = self._connection.execute("SELECT version, name FROM migration ORDER BY version")
        return None if applied.fetchall() == known else ("migration", "the list was changed")

    def last(self) -> int:
        """Return the last row of the last batch; 0 for an empty ledger."""
        found = self._connection.execute("SELECT coalesce(max(last), 0) FROM batch").fetchone()
        return int(found[0])

    def links(self) -> Iterator[Link]:
        """Yield the batches by number."""
        columns = "number, first, last, at_ms, rows_hash, marks, hash"
        for row in self._connection.execute(f"SELECT {columns} FROM batch ORDER BY number"):
            yield Link(*row)

    def rows(self, first: int, last: int) -> list[Row]:
        """Return the rows in that range, by `seq`."""
        found: list[Row] = []
        for table, row in _TABLES:
            columns = ", ".join(row._fields)
            sql = f"SELECT {columns} FROM {table} WHERE seq BETWEEN ? AND ? ORDER BY seq"
            found += map(row._make, self._connection.execute(sql, (first, last)))
        return sorted(found, key=itemgetter(0))

    def strays(self, last: int) -> Iterator[tuple[str, str]]:
        """Yield (table, id) of rows whose `seq` is not from 1 to `last`."""
        for table, name in (("account", "name"), ("transfer", "id"), ("record", "id")):
            sql = f"SELECT {name} FROM {table} WHERE seq NOT BETWEEN 1 AND ? ORDER BY seq"
            for (key,) in self._connection.execute(sql, (last,)):
                yield table, key

    def balances(self) -> Iterator[tuple[str, BalanceTuple]]:
        """Yield every account's name with the sums kept for it."""
        for name, *sums in self._connection.execute(
            """SELECT coalesce(name, CAST(account AS TEXT)), account, debits_posted,
                credits_posted, debits_pending, credits_pending
                FROM balance LEFT JOIN account ON account.seq = balance.account
                ORDER BY account"""
        ):
            yield name, (sums[0], sums[1], sums[2], sums[3], sums[4])

    def holds(self, seqs: list[int]) -> dict[int, HoldTuple]:
        """Return where those holds stand."""
        found: dict[int, HoldTuple] = {}
        sql = f"SELECT {', '.join(HoldRow._fields)} FROM hold WHERE seq = ?"
        for seq in seqs:
            row = self._connection.execute(sql, (seq,)).fetchone()
            if row is not None:
                found[seq] = row
        return found

    def hold_count(self) -> int:
        """Return how many holds there are, resolved ones included."""
        return int(self._connection.execute("SELECT count(*) FROM hold").fetchone()[0])

    def heads(self) -> Iterator[tuple[str, str, int, int]]:
        """Yield kind, id, current version and its row of every record."""
        yield from self._connection.execute(
            "SELECT kind, id, version, seq FROM record_head ORDER BY kind, id"
        )

    def canonical(self) -> Iterator[tuple[object, ...]]:
        """Yield accounts by name, entries by id, record versions by kind, id and version."""
        run = self._connection.execute
        yield from run("SELECT 'account', name, currency, floor, at_ms FROM account ORDER BY name")
        yield from run(
            """SELECT 'transfer', one.id, one.kind, debit.name, credit.name, one.units, one.code,
                one.reference, hold.id, one.expires_at_ms, one.at_ms
                FROM transfer AS one
                LEFT JOIN account AS debit ON debit.seq = one.debit
                LEFT JOIN account AS credit ON credit.seq = one.credit
                LEFT JOIN transfer AS hold ON hold.seq = one.hold
                ORDER BY one.id"""
        )
        yield from run(
            """SELECT 'record', kind, id, version, body, at_ms FROM record
                ORDER BY kind, id, version"""
        )


def _text(text: bytes) -> str:
    return text.decode("utf-8", "replace")
