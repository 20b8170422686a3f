"""The `SaleStore` beside the channels: one table of the payee's file, written by itself.

Sales do not go through the journal: each waits for a chain, and a commit more is nothing to that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import astuple
from typing import Any, Final, TypeAlias

from aisa import faults
from aisa.channel.sale import SaleRow, SaleState
from aisa.channel.sqlite import schema
from aisa.errors import StoreUnavailable

Transaction: TypeAlias = "Callable[[], AbstractContextManager[sqlite3.Cursor]]"

_IDENTIFIER: Final = "SELECT * FROM sale WHERE identifier = ? AND identifier != ''"


class SqliteSales:
    """Sales over the connections of a payee's file; `transaction` begins one and commits it."""

    def __init__(self, reader: sqlite3.Connection, transaction: Transaction) -> None:
        self._reader = reader
        self._transaction = transaction

    def put(self, row: SaleRow) -> None:
        """Write a sale, over an earlier state of it."""
        with self._transaction() as cursor:
            cursor.execute(schema.PUT_SALE, astuple(row))
            faults.hit("seller.sale.before")
        faults.hit("seller.sale.after")

    def forget(self, sale: bytes) -> None:
        """Forget a sale whose payment was proved to have failed."""
        with self._transaction() as cursor:
            cursor.execute("DELETE FROM sale WHERE id = ?", (sale,))

    def find(self, sale: bytes) -> SaleRow | None:
        """The sale with this id."""
        return self._one("SELECT * FROM sale WHERE id = ?", sale)

    def find_identifier(self, identifier: str) -> SaleRow | None:
        """The sale that a payer gave this name."""
        return self._one(_IDENTIFIER, identifier)

    def settling(self, after: bytes, rows_max: int) -> tuple[SaleRow, ...]:
        """Sales whose settlement is not known to have ended, in the order of their ids."""
        return tuple(map(_row, self._read(schema.SELECT_SETTLING, after, rows_max)))

    def prune(self, *, answers_before_ms: int, sales_before_ms: int, rows_max: int) -> None:
        """Forget some old answers, and old sales that are over."""
        with self._transaction() as cursor:
            cursor.execute(schema.FORGET_SALE_ANSWERS, (answers_before_ms, rows_max))
            cursor.execute(schema.FORGET_SALES, (sales_before_ms, rows_max))

    def _one(self, sql: str, key: bytes | str) -> SaleRow | None:
        found = self._read(sql, key)
        return _row(found[0]) if found else None

    def _read(self, sql: str, *values: bytes | str | int) -> list[tuple[Any, ...]]:
        try:
            return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the seller's file could not be read: {error}") from error


def _row(found: tuple[Any, ...]) -> SaleRow:
    sale, state, *rest = found
    return SaleRow(sale, SaleState(state), *rest)
