"""Exact money: currencies, tokens, amounts and rates as integers.

No float enters or leaves this room; text becomes units on digits.
"""

from aisa.money.amount import Amount, parse_amount
from aisa.money.currency import AIUSD, BTC, EUR, USDC, USDT, Currency, currency_by_code
from aisa.money.peg import Peg, PegTable
from aisa.money.rate import Rate
from aisa.money.token import Token
from aisa.money.units import UNITS_MAX, check_units, format_units, parse_units

__all__ = [
    "AIUSD",
    "BTC",
    "EUR",
    "UNITS_MAX",
    "USDC",
    "USDT",
    "Amount",
    "Currency",
    "Peg",
    "PegTable",
    "Rate",
    "Token",
    "check_units",
    "currency_by_code",
    "format_units",
    "parse_amount",
    "parse_units",
]
