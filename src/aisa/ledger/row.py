"""Rows: what the ledger keeps, exactly as it is stored and hashed.

A row is a plain tuple whose first column is its place in the ledger (`seq`, without gaps over all
three tables) and whose second says whether the next row belongs to the same command. The named
forms are for reading; the book writes bare tuples, which is what a batch of a thousand can afford.
Accounts are named by the `seq` of the row that opened them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from aisa.ledger.outcome import Outcome

AccountTuple: TypeAlias = tuple[int, int, str, str, int, int]
TransferTuple: TypeAlias = tuple[
    int, int, str, int, int, int, int, str, str, int | None, int | None, int
]
RecordTuple: TypeAlias = tuple[int, int, str, str, int, bytes, int]
RowTuple: TypeAlias = AccountTuple | TransferTuple | RecordTuple
BalanceTuple: TypeAlias = tuple[int, int, int, int, int]
HoldTuple: TypeAlias = tuple[int, int, int, int | None, int | None]


class AccountRow(NamedTuple):
    """An account was opened."""

    seq: int
    linked: int
    name: str
    currency: str
    floor: int
    at_ms: int


class TransferRow(NamedTuple):
    """A transfer, a hold, or the resolution of the hold whose row is `hold`."""

    seq: int
    linked: int
    id: str
    kind: int
    debit: int
    credit: int
    units: int
    code: str
    reference: str
    hold: int | None
    expires_at_ms: int | None
    at_ms: int


class RecordRow(NamedTuple):
    """A version of a record was written."""

    seq: int
    linked: int
    kind: str
    id: str
    version: int
    body: bytes
    at_ms: int


Row: TypeAlias = AccountRow | TransferRow | RecordRow


class HoldRow(NamedTuple):
    """Where the hold of row `seq` stands."""

    seq: int
    status: int
    posted_units: int
    resolved_seq: int | None
    expires_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one fold decided: the answers, and what must be stored before they are given."""

    at_ms: int
    outcomes: Sequence[Outcome]
    accounts: Sequence[AccountTuple]
    transfers: Sequence[TransferTuple]
    records: Sequence[RecordTuple]
    balances: Sequence[BalanceTuple]
    """The sums, after the batch, of every account that it touched: (account, four sums)."""
    holds: Sequence[HoldTuple]
    """Where every hold that the batch made or resolved stands after it."""

    def rows(self) -> list[RowTuple]:
        """Return the rows in order of `seq`; empty if nothing changed."""
        if not self.accounts and not self.records:
            return list(self.transfers)
        return sorted((*self.accounts, *self.transfers, *self.records), key=_seq)


def _seq(row: RowTuple) -> int:
    return row[0]
