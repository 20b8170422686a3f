"""Prices of routes: fixed, computed from the request, or stated by the handler afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from aisa.errors import ConfigInvalid, UnknownCurrency
from aisa.money import AIUSD, Amount, Currency, parse_amount

Headers: TypeAlias = "Iterable[tuple[bytes, bytes]]"

BODY_BYTES_MAX: Final = 1024 * 1024
DESCRIPTION_CHARS_MAX: Final = 1024
"""So long may a description be in a challenge."""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a price may be computed from; the body is not read yet."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    peer: str

    @classmethod
    def of(cls, method: str, path: str, query: bytes, headers: Headers, peer: str) -> RequestFacts:
        """Return the facts of an ASGI request; of repeated names the last value counts."""
        return cls(
            method=method,
            path=path,
            query=dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in headers},
            peer=peer,
        )


Computed: TypeAlias = "Callable[[RequestFacts], Amount | str]"


@dataclass(frozen=True, slots=True)
class FreeQuota:
    """The first `calls_per_day` are free, for each peer address, or for each payer's key.

    Days are UTC. The count is in memory: a restart begins it again.
    """

    calls_per_day: int
    per_payer: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Price:
    """What a call costs: `units_max`, unless `compute` says less or the handler does.

    `charge_client_errors` charges answers of 400 to 499 too.
    """

    units_max: int
    currency: Currency
    compute: Computed | None = None
    is_stated_later: bool = False
    charge_client_errors: bool = False
    free: FreeQuota | None = None
    body_bytes_max: int = BODY_BYTES_MAX
    description: str = ""
    mime_type: str = ""

    def units_of(self, amount: Amount | str) -> int:
        """Return the units of an amount that a handler or a computation states.

        Raises:
            ConfigInvalid: it is above the maximum, or in another currency.
        """
        exact = parse_amount(amount) if isinstance(amount, str) else amount
        if exact.currency != self.currency:
            raise ConfigInvalid(f"{exact} is not in {self.currency}, which the route is priced in")
        if exact.units > self.units_max:
            most = Amount(self.units_max, self.currency)
            raise ConfigInvalid(f"a price of {exact} is above the route's maximum of {most}")
        return exact.units


FREE: Final = Price(0, AIUSD, description="free")
"""Marks a route as free where another one, such as `/{path:path}`, would put a price on it."""


def price_of(
    price: str | Amount | Computed | None,
    *,
    at_most: str | Amount | None = None,
    charge_client_errors: bool = False,
    free: FreeQuota | None = None,
    body_bytes_max: int = BODY_BYTES_MAX,
    description: str = "",
    mime_type: str = "",
) -> Price:
    """Return the price of a route.

    A text such as `"0.0001 aiUSD"` is fixed. A function of RequestFacts is asked before each call,
    and None leaves it to the handler; both need `at_most`, which is what a tick must allow.
    `description` and `mime_type` tell x402 clients what they buy.

    Raises:
        ConfigInvalid: `at_most` is missing or does not belong.
        InvalidAmount, UnknownCurrency: an amount is not one.
    """
    if isinstance(price, (str, Amount)):
        if at_most is not None:
            raise ConfigInvalid("a fixed price has no at_most")
        most, compute = _amount(price), None
    else:
        if at_most is None:
            raise ConfigInvalid("a computed price needs at_most, so that a payer knows its risk")
        most, compute = _amount(at_most), price
    if len(description) > DESCRIPTION_CHARS_MAX:
        raise ConfigInvalid(f"a description has at most {DESCRIPTION_CHARS_MAX} characters")
    return Price(
        most.units,
        most.currency,
        compute,
        price is None,
        charge_client_errors,
        free,
        body_bytes_max,
        description,
        mime_type,
    )


def check_currency(price: Price, currency: Currency) -> None:
    """Check that the paywall takes the currency of a price.

    Raises:
        UnknownCurrency: it takes another one.
    """
    if price.currency != currency:
        raise UnknownCurrency(f"this paywall takes {currency}; a route asks for {price.currency}")


def _amount(value: str | Amount) -> Amount:
    return parse_amount(value) if isinstance(value, str) else value
