"""What the book reads of the past: a small interface, so that a store may keep it on disk."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from aisa.ledger.row import AccountRow, HoldRow, RecordRow, TransferRow


class Position:
    """An account while it is being folded; the book alone changes it."""

    __slots__ = (
        "credits_pending",
        "credits_posted",
        "debits_pending",
        "debits_posted",
        "row",
    )

    def __init__(self, row: AccountRow, sums: tuple[int, int, int, int] = (0, 0, 0, 0)) -> None:
        self.row = row
        self.sums = sums

    @property
    def sums(self) -> tuple[int, int, int, int]:
        """Debits posted, credits posted, debits pending, credits pending."""
        return (
            self.debits_posted,
            self.credits_posted,
            self.debits_pending,
            self.credits_pending,
        )

    @sums.setter
    def sums(self, sums: tuple[int, int, int, int]) -> None:
        self.debits_posted, self.credits_posted, self.debits_pending, self.credits_pending = sums


class State(Protocol):
    """The ledger as of the last batch; answers need not include what the book itself folded since."""

    def account(self, name: str) -> Position | None:
        """Return the account of that name."""
        ...

    def account_at(self, seq: int) -> Position | None:
        """Return the account that the row `seq` opened."""
        ...

    def transfers(self, ids: Collection[str]) -> dict[str, TransferRow]:
        """Return those of the ids that exist: one round trip for a batch."""
        ...

    def hold(self, seq: int) -> HoldRow | None:
        """Return where the hold of row `seq` stands."""
        ...

    def due(self, now_ms: int, limit: int) -> list[TransferRow]:
        """Return open holds with `expires_at_ms <= now_ms`, by (expiry, seq), at most `limit`."""
        ...

    def version(self, kind: str, record_id: str) -> int:
        """Return the record's current version; 0 if there is none."""
        ...

    def record(self, kind: str, record_id: str, version: int) -> RecordRow | None:
        """Return one version of a record."""
        ...
