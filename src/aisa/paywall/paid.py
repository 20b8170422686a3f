"""`@paid("0.0001 aiUSD")` on an endpoint, `Depends(paid(…))` in its signature, `charge()` inside.

Neither charges anything: the middleware does. They carry the price to its table, and refuse to run
an endpoint that is to be paid where no paywall stands before it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar, overload

from aisa.errors import ConfigInvalid
from aisa.money import Amount
from aisa.paywall.price import BODY_BYTES_MAX, Computed, FreeQuota, Price, price_of

F = TypeVar("F", bound=Callable[..., Any])

PRICE_ATTRIBUTE: Final = "__aisa_price__"


class PaidCall:
    """The call that is being served: who pays, at most how much, and what it will be charged.

    `payer` is the payer's key, the 20 bytes of its address if it pays by x402, or empty where the
    call is within a free quota.
    """

    __slots__ = ("payer", "price", "units", "units_max")

    def __init__(self, price: Price, payer: bytes, units_max: int) -> None:
        self.price = price
        self.payer = payer
        self.units_max = units_max
        self.units = units_max

    def charge(self, amount: Amount | str) -> None:
        """State what this call costs, where its price was left to the handler.

        Raises:
            ConfigInvalid: the price is fixed, or the amount is above its maximum.
        """
        if not self.price.is_stated_later:
            raise ConfigInvalid("the price of this route is fixed; give it at_most instead")
        self.units = min(self.price.units_of(amount), self.units_max)


CURRENT: Final[ContextVar[PaidCall | None]] = ContextVar("aisa_paid_call", default=None)
"""The call of this task; set by the middleware only."""


def charge(amount: Amount | str) -> None:
    """State what the call that is being served costs.

    Raises:
        ConfigInvalid: no paid call is being served, its price is fixed, or the amount is above it.
    """
    call = CURRENT.get()
    if call is None:
        raise ConfigInvalid("no paid call is being served here")
    call.charge(amount)


class Paid:
    """A price that marks endpoints: as a decorator, or as a FastAPI dependency."""

    def __init__(self, price: Price) -> None:
        self.price = price
        # FastAPI looks through __wrapped__: it sees an async function without parameters, and so
        # neither takes our argument for a query parameter nor runs us in a thread.
        self.__wrapped__ = self._payment

    @overload
    def __call__(self, endpoint: F) -> F: ...
    @overload
    def __call__(self) -> Awaitable[PaidCall]: ...
    def __call__(self, endpoint: F | None = None) -> F | Awaitable[PaidCall]:
        """Mark the endpoint; without one, return the payment as a dependency."""
        return self._payment() if endpoint is None else self._decorate(endpoint)

    async def _payment(self) -> PaidCall:
        return require_payment(self.price)

    def _decorate(self, endpoint: F) -> F:
        if inspect.iscoroutinefunction(endpoint):

            @functools.wraps(endpoint)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                require_payment(self.price)
                return await endpoint(*args, **kwargs)

            return self._mark(awaited)

        @functools.wraps(endpoint)
        def called(*args: Any, **kwargs: Any) -> Any:
            require_payment(self.price)
            return endpoint(*args, **kwargs)

        return self._mark(called)

    def _mark(self, checked: Any) -> Any:
        setattr(checked, PRICE_ATTRIBUTE, self.price)
        return checked


def require_payment(price: Price) -> PaidCall:
    """Return the call that pays this price.

    Raises:
        ConfigInvalid: the endpoint was reached without the middleware, or under another price.
    """
    call = CURRENT.get()
    if call is None or call.price is not price:
        raise ConfigInvalid(
            "a paid endpoint was reached without payment",
            hint="add PaywallMiddleware to the application that serves it",
        )
    return call


def paid(
    price: str | Amount | Computed | None = None,
    *,
    at_most: str | Amount | None = None,
    charge_client_errors: bool = False,
    free: FreeQuota | None = None,
    body_bytes_max: int = BODY_BYTES_MAX,
    description: str = "",
    mime_type: str = "",
) -> Paid:
    """Mark an endpoint as paid: `@paid("0.0001 aiUSD")` below the route, or `Depends(paid(…))`.

    `price` is an amount, or a function of RequestFacts; without one the handler calls `charge()`.
    The latter two need `at_most`. Charged are answers of 200 to 299 and 304, and those of 400 to
    499 with `charge_client_errors`.

    Raises:
        ConfigInvalid, InvalidAmount, UnknownCurrency: the price cannot be used.
    """
    return Paid(
        price_of(
            price,
            at_most=at_most,
            charge_client_errors=charge_client_errors,
            free=free,
            body_bytes_max=body_bytes_max,
            description=description,
            mime_type=mime_type,
        )
    )
