"""The owner's limits, set once."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.channel.payer import Limits
from aisa.errors import BudgetExceeded
from aisa.money import Amount, parse_amount

_NAMES = ("per_call", "per_seller", "per_day")


def amount_of(value: Amount | str) -> Amount:
    """Return an amount that may be given as text, such as `"0.10 aiUSD"`."""
    return parse_amount(value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so much for one call, to one seller in a UTC day, and in a UTC day altogether.

    Amounts or texts such as `"0.10 aiUSD"`; None is no limit. What counts is what this agent has
    signed for, over all processes that share its wallet. A budget speaks for its own currencies: a
    call in another currency is refused.

    Raises:
        InvalidAmount: a text is not an amount.
    """

    per_call: Amount | str | None = "0.10 aiUSD"
    per_seller: Amount | str | None = None
    per_day: Amount | str | None = "10 aiUSD"

    def __post_init__(self) -> None:
        for name in _NAMES:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, amount_of(value))

    def limits(self, currency: str) -> Limits:
        """Return the limits in units of a currency.

        Raises:
            BudgetExceeded: there are limits, and they are all in other currencies.
        """
        given = self._given()
        if any(amount.currency.code != currency for amount in given.values()):
            raise BudgetExceeded(
                f"the budget is not in {currency}, so nothing may be spent in it",
                hint=f"give the agent a budget in {currency}",
                limit="currency",
            )
        return Limits(**{name: amount.units for name, amount in given.items()})

    def part(self, currency: str) -> Limits:
        """Return the limits that are in a currency, in its units."""
        given = self._given().items()
        return Limits(**{name: a.units for name, a in given if a.currency.code == currency})

    def _given(self) -> dict[str, Amount]:
        named = {name: getattr(self, name) for name in _NAMES}
        return {name: amount_of(value) for name, value in named.items() if value is not None}


UNLIMITED = Budget(None, None, None)
"""No limit but the deposits; for benchmarks and tests."""
