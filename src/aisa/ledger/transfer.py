"""Transfers and holds: what a caller asks for, and what the ledger keeps of it.

Every id is made by the caller and is the idempotency key: the same id with the same body gets the
same answer, with another body it is refused. Transfers, holds, posts and voids share one name space.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

EXPIRY_PREFIX = "expire:"
"""Ids that begin so belong to the ledger: the release of hold `h` is the entry `expire:h`."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move `units` from `debit` to `credit`, at once and for good."""

    id: str
    debit: str
    credit: str
    units: int
    currency: str
    code: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Set `units` of `debit` aside for `credit`, until posted, voided or expired: exactly one of them."""

    id: str
    debit: str
    credit: str
    units: int
    currency: str
    code: str
    expires_at_ms: int | None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class PostHold:
    """Move what a hold set aside: `units` of it (None: all); the rest is free again."""

    id: str
    hold: str
    units: int | None = None


@dataclass(frozen=True, slots=True)
class VoidHold:
    """Give back what a hold set aside."""

    id: str
    hold: str


class EntryKind(IntEnum):
    """What an entry did."""

    TRANSFER = 0
    HOLD = 1
    POST = 2
    VOID = 3
    EXPIRE = 4


class HoldStatus(IntEnum):
    """Where a hold stands; only OPEN can change."""

    OPEN = 0
    POSTED = 1
    VOIDED = 2
    EXPIRED = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One immutable line of the ledger, newest `seq` last.

    `units` is what moved (TRANSFER, POST) or was set aside (HOLD); 0 for VOID and EXPIRE. `hold` is
    the id of the hold that a POST, VOID or EXPIRE resolved. `at_ms` is the time of its batch.
    """

    seq: int
    id: str
    kind: EntryKind
    debit: str
    credit: str
    units: int
    currency: str
    code: str
    reference: str
    hold: str | None
    expires_at_ms: int | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class HoldState:
    """A hold and how it was resolved; `posted_units` is 0 unless it was posted."""

    entry: Entry
    status: HoldStatus
    posted_units: int
