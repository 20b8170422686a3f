"""Insert many rows with few statements.

`executemany` gives up the interpreter's lock for every row, and with a busy event loop beside it has
to win it back each time. A statement of many rows gives it up once. `OR ROLLBACK` says that a conflict,
which the book rules out, may undo the whole db transaction: without it SQLite keeps a journal for the
statement alone, which costs more than the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain

# Few sizes, so that every statement stays prepared; 256 rows of 12 columns are 3,072 parameters.
_SIZES = (256, 64, 16, 4, 1)


def insert(
    connection: sqlite3.Connection,
    table: str,
    columns: int,
    rows: Sequence[tuple[object, ...]],
    *,
    replace: bool = False,
) -> None:
    """Insert the rows, in order; with `replace`, over those of the same primary key."""
    done = 0
    for size in _SIZES:
        while len(rows) - done >= size:
            values = list(chain.from_iterable(rows[done : done + size]))
            connection.execute(_statement(table, columns, size, replace), values)
            done += size


@cache
def _statement(table: str, columns: int, size: int, replace: bool) -> str:
    verb = "INSERT OR REPLACE" if replace else "INSERT OR ROLLBACK"
    row = f"({', '.join('?' * columns)})"
    return f"{verb} INTO {table} VALUES {', '.join([row] * size)}"
