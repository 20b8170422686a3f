"""A seller's revenue: every charge of a span of time, for its books."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from aisa.channel.sqlite.revenue import Sale, read_sales
from aisa.channel.sqlite.store import SqliteChannelStore
from aisa.errors import FileOwned

__all__ = ["Sale", "revenue"]


def revenue(path: Path, payee: bytes, *, from_ms: int, until_ms: int) -> Generator[Sale]:
    """Yield the charges of a seller's file, from one time to before another (unix milliseconds).

    Beside a running seller, those of its last seconds may be missing.

    Raises:
        NotFound: there is no such file.
        StoreUnavailable: it cannot be read.
    """
    if path.exists():
        try:
            # Nobody serves from it: what a crash left in its journal is folded in first.
            with closing(SqliteChannelStore(path, payee)):
                pass
        except FileOwned:
            pass
    yield from read_sales(path, from_ms=from_ms, until_ms=until_ms)
