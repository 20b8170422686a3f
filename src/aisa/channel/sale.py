"""Sales that a single signed transfer pays for, and the port of what is durable of them.

A sale is written before its payment is asked to settle, and finished after it: whatever dies in
between, the row says what to ask for again, and under which key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class SaleState(IntEnum):
    """How far a sale is: only PAID and SOLD brought money, and only SOLD was served."""

    SETTLING = 0
    PAID = 1
    SOLD = 2


@dataclass(frozen=True, slots=True)
class SaleRow:
    """One payment for one request.

    `id` is derived from network, asset, payer and nonce; `fingerprint` is the hash of all that the
    payer sent, `asked` the whole question to a facilitator, `valid_until_s` when the payment ends.
    `answer` is what a repeat gets, packed, or empty; `response` is how the settlement ended, in
    the words that the payer is told.
    """

    id: bytes
    state: SaleState
    at_ms: int
    network: str
    payer: bytes
    currency: str
    units: int
    request: bytes
    fingerprint: bytes
    identifier: str
    valid_until_s: int
    asked: bytes
    status: int = 0
    answer: bytes = b""
    response: str = ""
    reference: str = ""


class SaleStore(Protocol):
    """Durable sales of a payee; a failed write raises StoreUnavailable and changes nothing."""

    def put(self, row: SaleRow) -> None:
        """Write a sale, over an earlier state of it."""
        ...

    def forget(self, sale: bytes) -> None:
        """Forget a sale whose payment was proved to have failed."""
        ...

    def find(self, sale: bytes) -> SaleRow | None:
        """The sale with this id."""
        ...

    def find_identifier(self, identifier: str) -> SaleRow | None:
        """The sale that a payer gave this name."""
        ...

    def settling(self, after: bytes, rows_max: int) -> tuple[SaleRow, ...]:
        """Sales whose settlement is not known to have ended, in the order of their ids."""
        ...

    def prune(self, *, answers_before_ms: int, sales_before_ms: int, rows_max: int) -> None:
        """Forget some old answers, and old sales that are over."""
        ...
