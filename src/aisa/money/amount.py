"""Amount: an exact, non-negative count of a currency's units."""

from __future__ import annotations

import msgspec

from aisa.errors import InvalidAmount
from aisa.money.currency import Currency, currency_by_code
from aisa.money.units import check_units, format_units, parse_units


class Amount(msgspec.Struct, frozen=True, gc=False):
    """So many units of one currency.

    Raises:
        InvalidAmount: the units are not an integer from 0 to 2^63 - 1.
    """

    units: int
    currency: Currency

    def __post_init__(self) -> None:
        check_units(self.units)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.units + self._same(other), self.currency)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.units - self._same(other), self.currency)

    def __mul__(self, count: int) -> Amount:
        return Amount(self.units * check_units(count, "count"), self.currency)

    def __lt__(self, other: Amount) -> bool:
        return self.units < self._same(other)

    def __le__(self, other: Amount) -> bool:
        return self.units <= self._same(other)

    def __str__(self) -> str:
        return f"{format_units(self.units, self.currency.scale)} {self.currency.code}"

    def _same(self, other: Amount) -> int:
        if other.currency != self.currency:
            raise InvalidAmount(f"{other.currency} cannot be combined with {self.currency}")
        return other.units


def parse_amount(text: str) -> Amount:
    """Return the amount in a text such as `"0.0001 aiUSD"`.

    Raises:
        InvalidAmount: it is not a plain decimal, one space and a currency code.
        UnknownCurrency: the code is not a built-in currency.
    """
    number, space, code = text.partition(" ")
    if not space:
        raise InvalidAmount(f"{text[:40]!r} names no currency", hint="write it as 0.0001 aiUSD")
    currency = currency_by_code(code)
    return Amount(parse_units(number, currency.scale), currency)
