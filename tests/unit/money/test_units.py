"""Text becomes units on digits, or is refused."""

from __future__ import annotations

import pytest

from aisa.errors import InvalidAmount, UnknownCurrency
from aisa.money import (
    AIUSD,
    UNITS_MAX,
    Amount,
    check_units,
    format_units,
    parse_amount,
    parse_units,
)


@pytest.mark.parametrize(
    ("text", "scale", "units"),
    [
        ("0", 6, 0),
        ("0.0001", 6, 100),
        ("1", 6, 1_000_000),
        ("1.000000", 6, 1_000_000),
        ("0.00000000", 6, 0),
        ("9223372036854.775807", 6, UNITS_MAX),
        ("7", 0, 7),
        ("0.00000000001", 11, 1),
    ],
)
def test_a_plain_decimal_becomes_exact_units(text: str, scale: int, units: int) -> None:
    assert parse_units(text, scale) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-1",
        "+1",
        "1e-7",
        "1E3",
        "NaN",
        "inf",
        "0x10",
        "1_000",
        "1,5",
        ".5",
        "5.",
        "01",
        "1 ",
        "١",
        "0.0000001",
        "9223372036854.775808",
        str(2**63),
        "1" * 4000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_units(text, 6)


@pytest.mark.parametrize("units", [-1, 2**63, 1.0, True, "1", None])
def test_units_are_an_integer_from_zero_to_the_maximum(units: object) -> None:
    with pytest.raises(InvalidAmount):
        check_units(units)  # type: ignore[arg-type]


def test_format_is_the_shortest_exact_text() -> None:
    assert format_units(100, 6) == "0.0001"
    assert format_units(1_000_000, 6) == "1"
    assert format_units(-1, 6) == "-0.000001"
    assert format_units(7, 0) == "7"


def test_an_amount_names_its_currency() -> None:
    assert parse_amount("0.0001 aiUSD") == Amount(100, AIUSD)
    assert str(Amount(100, AIUSD)) == "0.0001 aiUSD"
    with pytest.raises(InvalidAmount, match="names no currency"):
        parse_amount("0.0001")
    with pytest.raises(UnknownCurrency):
        parse_amount("0.0001 aiusd")
