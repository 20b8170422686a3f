"""What a node charges and allows, by currency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aisa.errors import UnknownCurrency
from aisa.money import Currency

PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class CurrencyTerms:
    """Fees in millionths, and what deposits may lift an account to.

    `channel_fee_ppm` is fixed for a channel when it opens, and taken as its payee redeems.
    """

    currency: Currency
    channel_fee_ppm: int
    deposit_fee_ppm: int
    withdrawal_fee_ppm: int
    account_cap_units: int


class TermsTable:
    """The currencies of a node, by code."""

    def __init__(self, terms: Iterable[CurrencyTerms]) -> None:
        self._by_code: Mapping[str, CurrencyTerms] = {t.currency.code: t for t in terms}

    @property
    def all(self) -> tuple[CurrencyTerms, ...]:
        """Every currency, in the order of configuration."""
        return tuple(self._by_code.values())

    def of(self, code: str) -> CurrencyTerms:
        """Return a currency's terms.

        Raises:
            UnknownCurrency: the node does not keep it.
        """
        terms = self._by_code.get(code)
        if terms is None:
            known = ", ".join(self._by_code)
            raise UnknownCurrency(f"this node keeps no {code[:40]!r}", hint=f"one of {known}")
        return terms


def fee_of(units: int, fee_ppm: int) -> int:
    """Return the fee on so many units in all, rounded down."""
    return units * fee_ppm // PPM
