"""What verification and the digest read of a stored ledger, as of one moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from aisa.ledger.chain import Link
from aisa.ledger.row import BalanceTuple, HoldTuple, Row


class Archive(Protocol):
    """A snapshot of every stored row; nothing that is written meanwhile shows up in it."""

    def damage(self) -> tuple[str, str] | None:
        """Return where and what the engine itself finds wrong (pages, unique indexes, schema)."""
        ...

    def last(self) -> int:
        """Return the last row of the last batch; 0 for an empty ledger."""
        ...

    def links(self) -> Iterator[Link]:
        """Yield the batches by number."""
        ...

    def rows(self, first: int, last: int) -> list[Row]:
        """Return the rows of accounts, transfers and records in that range, by `seq`."""
        ...

    def strays(self, last: int) -> Iterator[tuple[str, str]]:
        """Yield (table, id) of rows whose `seq` is not from 1 to `last`."""
        ...

    def balances(self) -> Iterator[tuple[str, BalanceTuple]]:
        """Yield every account's name with the sums kept for it; a missing name is its number."""
        ...

    def holds(self, seqs: list[int]) -> dict[int, HoldTuple]:
        """Return where those holds stand."""
        ...

    def hold_count(self) -> int:
        """Return how many holds there are, resolved ones included."""
        ...

    def heads(self) -> Iterator[tuple[str, str, int, int]]:
        """Yield kind, id, current version and its row of every record."""
        ...

    def canonical(self) -> Iterator[tuple[object, ...]]:
        """Yield accounts by name, entries by id, record versions by kind, id and version.

        Without `seq` and link marks, and with names for numbers: equal for equal contents, in
        whatever batches they were committed.
        """
        ...
