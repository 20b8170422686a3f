"""Rate: an exact ratio between two currencies."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.errors import InvalidAmount
from aisa.money.amount import Amount
from aisa.money.currency import Currency


@dataclass(frozen=True, slots=True)
class Rate:
    """`numerator` units of `quote` for `denominator` units of `base`, both positive integers.

    Raises:
        InvalidAmount: a side of the ratio is not a positive integer.
    """

    base: Currency
    quote: Currency
    numerator: int
    denominator: int

    def __post_init__(self) -> None:
        for side in (self.numerator, self.denominator):
            if type(side) is not int or side <= 0:
                raise InvalidAmount("a rate is a ratio of two positive integers")

    def convert(self, amount: Amount) -> tuple[Amount, int]:
        """Return the amount in `quote`, rounded down, and the remainder over `denominator`.

        Raises:
            InvalidAmount: the amount is not in `base`, or the result exceeds 2^63 - 1 units.
        """
        if amount.currency != self.base:
            raise InvalidAmount(f"the rate converts {self.base}, not {amount.currency}")
        units, remainder = divmod(amount.units * self.numerator, self.denominator)
        return Amount(units, self.quote), remainder
