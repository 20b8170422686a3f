"""Text to units and back, digit by digit."""

from __future__ import annotations

import re
from typing import Final

from aisa.errors import InvalidAmount

UNITS_MAX: Final = 2**63 - 1
"""The largest count of units; it fits a signed 64-bit column on every store."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,18}))?", re.ASCII)


def check_units(units: int, field: str = "amount") -> int:
    """Return `units` if it is an integer from 0 to 2^63 - 1.

    Raises:
        InvalidAmount: it is anything else; a bool and a float are refused too.
    """
    if type(units) is not int:
        raise InvalidAmount(
            f"{field} must be an integer count of units, not {type(units).__name__}"
        )
    if not 0 <= units <= UNITS_MAX:
        raise InvalidAmount(f"{field} must be from 0 to 2^63 - 1 units")
    return units


def parse_units(text: str, scale: int, field: str = "amount") -> int:
    """Return the units of a decimal such as `"0.0001"` at `scale` digits after the point.

    Raises:
        InvalidAmount: not plain digits (a sign, an exponent, NaN, spaces), more digits after the
            point than the currency has, or above 2^63 - 1 units.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise InvalidAmount(
            f"{field} {text[:40]!r} is not a plain decimal number",
            hint="write digits and at most one point, such as 0.0001",
        )
    whole, fraction = match.group(1), match.group(2) or ""
    if len(fraction) > scale and fraction[scale:].strip("0"):
        raise InvalidAmount(f"{field} {text} has more than {scale} digits after the point")
    return check_units(int(whole + fraction[:scale].ljust(scale, "0")), field)


def format_units(units: int, scale: int) -> str:
    """Return the shortest exact decimal of `units`; the reverse of `parse_units`."""
    digits = str(abs(units)).rjust(scale + 1, "0")
    whole, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :].rstrip("0")
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
