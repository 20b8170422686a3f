"""The one writer of a SQLite ledger: folds a batch, chains it, commits it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from aisa import faults
from aisa.ledger import chain
from aisa.ledger.book import Book
from aisa.ledger.outcome import Command, Outcome
from aisa.ledger.row import Batch
from aisa.ledger.sqlite_insert import insert
from aisa.ledger.sqlite_schema import COLUMNS
from aisa.ledger.sqlite_state import SqliteState


class SqliteWriter:
    """Commits batches, one at a time and from one thread at a time.

    The time of a batch is the clock's, but never before that of the batch before it, also over
    restarts: what had expired stays expired.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Callable[[], int],
        *,
        accounts_max: int = 100_000,
    ) -> None:
        self._connection = connection
        self._clock = clock
        last = connection.execute(
            "SELECT number, last, at_ms, hash FROM batch ORDER BY number DESC LIMIT 1"
        ).fetchone()
        self._number, last_seq, self._at_ms, self._hash = last or (0, 0, 0, chain.GENESIS)
        state = SqliteState(connection)
        self._book = Book(state, last_seq=last_seq, accounts_max=accounts_max)

    def commit(self, commands: Sequence[Command]) -> Sequence[Outcome]:
        """Decide the commands and return their outcomes once everything is on disk.

        After any exception this writer must not be used again: the book may be ahead of the file.
        """
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            batch = self._book.fold(commands, max(self._clock(), self._at_ms))
            link = self._write(batch)
            if link is not None:
                faults.hit("ledger.commit.before")
                connection.execute("COMMIT")
                faults.hit("ledger.commit.after")
                self._number, self._at_ms, self._hash = link.number, link.at_ms, link.hash
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return batch.outcomes

    def _write(self, batch: Batch) -> chain.Link | None:
        rows = batch.rows()
        if not rows:
            return None
        link = chain.link(self._number + 1, self._hash, batch.at_ms, rows)
        self._insert("account", batch.accounts)
        self._insert("transfer", batch.transfers)
        self._insert("record", batch.records)
        self._insert("balance", batch.balances, replace=True)
        self._insert("hold", batch.holds, replace=True)
        heads = {row[2:4]: (*row[2:5], row[0]) for row in batch.records}
        self._insert("record_head", list(heads.values()), replace=True)
        columns = (link.first, link.last, link.at_ms, link.rows_hash, link.marks, link.hash)
        self._insert("batch", [(link.number, *columns)])
        return link

    def _insert(
        self, table: str, rows: Sequence[tuple[object, ...]], *, replace: bool = False
    ) -> None:
        insert(self._connection, table, COLUMNS[table], rows, replace=replace)
