"""What a seller sold: its charges with their time and payer, read beside whoever serves the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aisa.channel.sqlite.schema import PLACES
from aisa.errors import NotFound, StoreUnavailable

_SALES: Final = (
    "SELECT batch.at_ms, channel.id, channel.payer, channel.network, channel.currency,"
    " charge.lane, charge.seq, charge.units, charge.status, charge.voided,"
    " charge.cumulative <= channel.redeemed FROM batch"
    " JOIN charge ON charge.place >= batch.number * ?1 AND charge.place < (batch.number + 1) * ?1"
    " JOIN channel ON channel.number = charge.channel"
    " WHERE batch.at_ms >= ?2 AND batch.at_ms < ?3 ORDER BY charge.place"
)


@dataclass(frozen=True, slots=True)
class Sale:
    """One charged call; one that `is_voided` was taken back, and earns nothing."""

    at_ms: int
    channel: bytes
    payer: bytes
    network: str
    currency: str
    lane: int
    seq: int
    units: int
    status: int
    is_voided: bool
    is_redeemed: bool

    @property
    def earned(self) -> int:
        """The units that the call brought."""
        return 0 if self.is_voided else self.units


def read_sales(path: Path, *, from_ms: int, until_ms: int) -> Generator[Sale]:
    """Yield the charges from one time to before another, in their order.

    Those that are still in the journal are not among them.

    Raises:
        NotFound: there is no such file.
        StoreUnavailable: it cannot be read.
    """
    if not path.exists():
        raise NotFound(f"there is no seller's file at {path}", hint="aisa seller init --node URL")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            for row in db.execute(_SALES, (PLACES, from_ms, until_ms)):
                *values, voided, redeemed = row
                yield Sale(*values, is_voided=bool(voided), is_redeemed=bool(redeemed))
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the seller's file could not be read: {error}") from error
