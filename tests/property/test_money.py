"""Money never appears or vanishes between text and units, currencies and tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aisa.errors import InvalidAmount
from aisa.money import AIUSD, UNITS_MAX, USDC, Amount, Rate, Token, format_units, parse_units

UNITS = st.integers(0, UNITS_MAX)


@given(UNITS, st.integers(0, 11))
def test_text_and_units_are_one_to_one(units: int, scale: int) -> None:
    assert parse_units(format_units(units, scale), scale) == units


@given(st.text(max_size=30))
def test_any_text_is_units_or_refused(text: str) -> None:
    try:
        units = parse_units(text, 6)
    except InvalidAmount:
        return
    assert 0 <= units <= UNITS_MAX


@given(st.integers(0, 10**12), st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_conversion_loses_only_its_remainder(
    units: int, numerator: int, denominator: int
) -> None:
    result, remainder = Rate(AIUSD, USDC, numerator, denominator).convert(Amount(units, AIUSD))
    assert result.units * denominator + remainder == units * numerator
    assert 0 <= remainder < denominator


@given(st.integers(0, 2**40), st.integers(0, 18))
def test_token_units_are_ledger_units_plus_dust(units: int, scale: int) -> None:
    token = Token("t", "issuer", "n:1", "n:1/token:t", scale, "aiUSD")
    ledger, dust = token.to_ledger(units, 6)
    assert token.from_ledger(ledger, 6) + dust == units
