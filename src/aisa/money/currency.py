"""Currencies: what customers hold, free of any network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aisa.errors import InvalidRequest, UnknownCurrency

SCALE_MAX: Final = 11
"""Bitcoin in millisatoshi needs 11; everything else is kept at 9 digits or fewer."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Currency:
    """A unit of account: its code, and how many digits after the point one unit stands for.

    Raises:
        InvalidRequest: the code is not 2 to 16 letters, digits or dashes, or the scale not 0 to 11.
    """

    code: str
    scale: int

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise InvalidRequest(
                f"currency code {self.code[:20]!r} is not 2 to 16 letters or digits"
            )
        if not 0 <= self.scale <= SCALE_MAX:
            raise InvalidRequest(f"currency scale {self.scale} is not from 0 to {SCALE_MAX}")

    def __str__(self) -> str:
        return self.code


AIUSD: Final = Currency("aiUSD", 6)
USDC: Final = Currency("USDC", 6)
USDT: Final = Currency("USDT", 6)
EUR: Final = Currency("EUR", 6)
BTC: Final = Currency("BTC", 11)

_KNOWN: Final = {currency.code: currency for currency in (AIUSD, USDC, USDT, EUR, BTC)}


def currency_by_code(code: str) -> Currency:
    """Return a built-in currency.

    Raises:
        UnknownCurrency: there is none with this code; codes are case-sensitive.
    """
    try:
        return _KNOWN[code]
    except KeyError:
        raise UnknownCurrency(
            f"currency {code[:20]!r} is not known here", hint=f"one of {', '.join(_KNOWN)}"
        ) from None
