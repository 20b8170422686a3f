"""Amounts as a person types and reads them."""

from __future__ import annotations

from aisa.client import NodeInfo
from aisa.errors import InvalidAmount, UnknownCurrency
from aisa.money import Amount, Currency, format_units, parse_units


def currencies_of(info: NodeInfo) -> dict[str, Currency]:
    """The node's currencies by code, its first one first."""
    return {one.code: Currency(one.code, one.scale) for one in info.currencies}


def read_amount(text: str, info: NodeInfo) -> Amount:
    """An amount such as `5` (in the node's first currency) or `"5 aiUSD"`.

    Raises:
        InvalidAmount: not a positive plain decimal.
        UnknownCurrency: the node does not keep the currency.
    """
    number, _, code = text.strip().partition(" ")
    known = currencies_of(info)
    if not known:
        raise UnknownCurrency("the node keeps no currency")
    currency = known.get(code) if code else next(iter(known.values()))
    if currency is None:
        raise UnknownCurrency(f"the node keeps no {code[:20]!r}", hint=f"one of {', '.join(known)}")
    amount = Amount(parse_units(number, currency.scale), currency)
    if not amount.units:
        raise InvalidAmount("the amount is zero")
    return amount


def show_units(units: int, code: str, info: NodeInfo) -> str:
    """Units of one of the node's currencies, as `0.0001 aiUSD`."""
    currency = currencies_of(info).get(code)
    return f"{format_units(units, currency.scale)} {code}" if currency else f"{units} of {code}"
