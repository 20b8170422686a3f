"""The job: a year of invoices in several currencies, to be booked in euro."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

YEAR: Final = 2025
CURRENCIES: Final = (
    *("USD", "GBP", "CHF", "JPY", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF"),
    *("CAD", "AUD", "SGD", "INR", "BRL", "ZAR"),
)
_CENT: Final = Decimal("0.01")
_WITHOUT_CENTS: Final = frozenset({"JPY", "HUF"})


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice; `amount` is exact, in `currency`."""

    number: str
    day: date
    currency: str
    amount: Decimal

    @property
    def path(self) -> str:
        """Where its rate is sold."""
        return f"/rates/{self.currency}/{self.day.isoformat()}"

    def in_euro(self, rate: Decimal) -> Decimal:
        """The amount in euro at `rate` units per euro, rounded to the cent, halves to even."""
        return (self.amount / rate).quantize(_CENT, ROUND_HALF_EVEN)


def sample_invoices(count: int) -> Iterator[Invoice]:
    """The first `count` of the sample invoices: the same on every machine, spread over the year."""
    for index in range(count):
        digest = hashlib.sha256(f"aisa sample invoice {index}".encode()).digest()
        currency = CURRENCIES[digest[0] % len(CURRENCIES)]
        day = date(YEAR, 1, 1) + timedelta(days=int.from_bytes(digest[1:3]) % 365)
        hundredths = 1_000 + int.from_bytes(digest[3:7]) % 5_000_000
        if currency in _WITHOUT_CENTS:
            hundredths -= hundredths % 100
        yield Invoice(f"INV-{YEAR}-{index + 1:05}", day, currency, Decimal(hundredths) / 100)
