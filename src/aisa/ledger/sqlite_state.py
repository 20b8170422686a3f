# ruff: noqa: S608 - only names of ours are put into SQL
"""What the book reads of a SQLite ledger, within the writer's db transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any

from aisa.ledger.row import AccountRow, HoldRow, RecordRow, TransferRow
from aisa.ledger.state import Position

_ACCOUNT = """SELECT seq, linked, name, currency, floor, at_ms,
    debits_posted, credits_posted, debits_pending, credits_pending
    FROM account JOIN balance ON balance.account = account.seq WHERE """
# Sizes of one look-up; the last id is repeated to fill one, so that few statements stay prepared.
_SIZES = (1, 8, 64, 512)
_TRANSFER = ", ".join(f"transfer.{name}" for name in TransferRow._fields)


class SqliteState:
    """A `State` on disk: nothing of it is kept in memory here."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def account(self, name: str) -> Position | None:
        """Return the account of that name."""
        return self._position(_ACCOUNT + "name = ?", name)

    def account_at(self, seq: int) -> Position | None:
        """Return the account that the row `seq` opened."""
        return self._position(_ACCOUNT + "seq = ?", seq)

    def transfers(self, ids: Collection[str]) -> dict[str, TransferRow]:
        """Return those of the ids that exist."""
        wanted = list(ids)
        found: dict[str, TransferRow] = {}
        for start in range(0, len(wanted), _SIZES[-1]):
            part = wanted[start : start + _SIZES[-1]]
            size = next(size for size in _SIZES if size >= len(part))
            part += [part[-1]] * (size - len(part))
            for row in self._connection.execute(_LOOK_UP[size], part):
                found[row[2]] = TransferRow(*row)
        return found

    def hold(self, seq: int) -> HoldRow | None:
        """Return where the hold of row `seq` stands."""
        row = self._one(f"SELECT {', '.join(HoldRow._fields)} FROM hold WHERE seq = ?", seq)
        return None if row is None else HoldRow(*row)

    def due(self, now_ms: int, limit: int) -> list[TransferRow]:
        """Return open holds that are due, by (expiry, seq), at most `limit`."""
        rows = self._connection.execute(
            f"""SELECT {_TRANSFER} FROM hold JOIN transfer ON transfer.seq = hold.seq
                WHERE status = 0 AND hold.expires_at_ms IS NOT NULL AND hold.expires_at_ms <= ?
                ORDER BY hold.expires_at_ms, hold.seq LIMIT ?""",
            (now_ms, limit),
        )
        return [TransferRow(*row) for row in rows]

    def version(self, kind: str, record_id: str) -> int:
        """Return the record's current version; 0 if there is none."""
        row = self._one(
            "SELECT version FROM record_head WHERE kind = ? AND id = ?", kind, record_id
        )
        return 0 if row is None else row[0]

    def record(self, kind: str, record_id: str, version: int) -> RecordRow | None:
        """Return one version of a record."""
        columns = ", ".join(RecordRow._fields)
        sql = f"SELECT {columns} FROM record WHERE kind = ? AND id = ? AND version = ?"
        row = self._one(sql, kind, record_id, version)
        return None if row is None else RecordRow(*row)

    def _position(self, sql: str, key: str | int) -> Position | None:
        row = self._one(sql, key)
        return (
            None
            if row is None
            else Position(AccountRow(*row[:6]), (row[6], row[7], row[8], row[9]))
        )

    def _one(self, sql: str, *values: str | int) -> tuple[Any, ...] | None:
        return self._connection.execute(sql, values).fetchone()


_LOOK_UP = {
    size: f"SELECT {_TRANSFER} FROM transfer WHERE id IN ({', '.join('?' * size)})"
    for size in _SIZES
}
