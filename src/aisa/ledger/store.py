"""The port: what every ledger store can do, in the words of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aisa.ledger.account import Account, Balance
from aisa.ledger.outcome import Command, Outcome, require_applied
from aisa.ledger.record import Record
from aisa.ledger.transfer import Entry, HoldState

__all__ = ["PAGE_MAX", "BadRow", "Clock", "Progress", "Store", "VerifyReport", "require_applied"]

PAGE_MAX = 1_000
"""No page is longer, whatever limit is asked for."""

Clock = Callable[[], int]
"""Unix time in milliseconds."""

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all; may come from another thread."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """The first row that is not what the rules and the chain say it must be."""

    table: str
    id: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.id}: {self.what}"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification saw; `head` is the hash of the last batch, worth keeping elsewhere.

    Nobody can tell from a ledger alone that its newest batches were cut off whole: compare `head`
    with one noted before.
    """

    batches: int
    rows: int
    head: str
    bad: BadRow | None

    @property
    def ok(self) -> bool:
        """Whether everything stored is what the rows add up to."""
        return self.bad is None


class Store(Protocol):
    """A ledger. Reads see everything that was acknowledged before they were called."""

    async def post(self, command: Command) -> Outcome:
        """Decide a command and return its outcome once that is durable; refusals are values.

        Raises:
            LedgerStopped: closed, or a commit failed; after a restart repeat with the same ids.
            RateLimited: too many commands are waiting.
        """
        ...

    async def expire(self) -> int:
        """Release holds that are due and return how many; every post does so too."""
        ...

    async def balance(self, account: str, at_ms: int | None = None) -> Balance:
        """Return an account's sums, now or after the last batch not later than `at_ms`.

        An account that is not open, or was not then, has a balance of zeros.
        """
        ...

    async def total(self, prefix: str, currency: str) -> Balance:
        """Return the sums of all accounts of a currency whose names begin with `prefix`."""
        ...

    async def account(self, account: str) -> Account | None:
        """Return an open account."""
        ...

    async def accounts(self, prefix: str = "", after: str = "", limit: int = 100) -> list[Account]:
        """Return accounts by name, those after `after`."""
        ...

    async def transfer(self, id: str) -> Entry | None:  # noqa: A002 - the ledger's word
        """Return the entry with that id: a transfer, a hold or what resolved one."""
        ...

    async def history(
        self, account: str, before: int | None = None, limit: int = 100
    ) -> list[Entry]:
        """Return an account's entries, newest first; page on with `before` = the last one's `seq`."""
        ...

    async def hold(self, id: str) -> HoldState | None:  # noqa: A002 - the ledger's word
        """Return the hold with that id and where it stands."""
        ...

    async def record(self, kind: str, id: str) -> Record | None:  # noqa: A002 - the ledger's word
        """Return the current version of a record."""
        ...

    async def records(self, kind: str, after: str = "", limit: int = 100) -> list[Record]:
        """Return the current versions of a kind's records by id, those after `after`."""
        ...

    async def digest(self) -> str:
        """Return the hash of all rows in canonical order, free of batch borders (64 hex digits)."""
        ...

    async def verify(self, progress: Progress | None = None) -> VerifyReport:
        """Fold everything again and compare it with all that is stored."""
        ...

    async def backup(self, path: Path) -> None:
        """Write a copy as of now to `path`, which must not exist, while posts go on.

        Raises:
            StateConflict: there is something at `path`.
        """
        ...

    async def close(self) -> None:
        """Commit what is waiting and let go of the files."""
        ...
