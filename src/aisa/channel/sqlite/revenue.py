"""What a seller sold: charges and x402 sales with their payer, read beside whoever serves the file."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
_X402: Final = (
    "SELECT at_ms, payer, network, currency, units, status, reference FROM sale"
    " WHERE state != 0 AND at_ms >= ? AND at_ms < ? ORDER BY at_ms"
)


@dataclass(frozen=True, slots=True)
class Sale:
    """One charged call; one that `is_voided` was taken back, and earns nothing.

    A call that an x402 payment paid for has no channel; its `reference` is the chain tx.
    """

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
    reference: str = ""

    @property
    def earned(self) -> int:
        """The units that the call brought."""
        return 0 if self.is_voided else self.units


def read_sales(path: Path, *, from_ms: int, until_ms: int) -> Generator[Sale]:
    """Yield what was sold from one time to before another, in its order.

    Charges that are still in the journal are not among them.

    Raises:
        NotFound: there is no such file.
        StoreUnavailable: it cannot be read.
    """
    if not path.exists():
        raise NotFound(f"there is no seller's file at {path}", hint="aisa seller init --node URL")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            charged = map(_charged, db.execute(_SALES, (PLACES, from_ms, until_ms)))
            paid = map(_paid, db.execute(_X402, (from_ms, until_ms)))
            yield from heapq.merge(charged, paid, key=lambda sale: sale.at_ms)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the seller's file could not be read: {error}") from error


def _charged(row: tuple[Any, ...]) -> Sale:
    *values, voided, redeemed = row
    return Sale(*values, is_voided=bool(voided), is_redeemed=bool(redeemed))


def _paid(row: tuple[Any, ...]) -> Sale:
    at_ms, payer, network, currency, units, status, reference = row
    return Sale(
        at_ms=at_ms,
        channel=b"",
        payer=payer,
        network=network,
        currency=currency,
        lane=0,
        seq=0,
        units=units,
        status=status,
        is_voided=False,
        is_redeemed=True,
        reference=reference,
    )
