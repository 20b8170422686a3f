"""Reading JSON fields of AIP objects: bounded, typed, amounts as digit strings."""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec

from aisa.errors import MalformedMessage
from aisa.protocol import strictjson

T = TypeVar("T")

_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


def parse_json(raw: bytes, shape: type[T], field: str, size_max: int) -> T:
    """Return the JSON as `shape`.

    Raises:
        MalformedMessage: it is too long, no strict JSON, or of another shape.
    """
    value = strictjson.parse_json(raw, field, bytes_max=size_max)
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise MalformedMessage(f"{field}: {error}") from error


def parse_units_text(text: str, field: str) -> int:
    """Return the units of a canonical digit string below 2^63.

    Raises:
        MalformedMessage: a sign, a leading zero, a point, an exponent, or too large.
    """
    if not _DIGITS.fullmatch(text) or int(text) >= 2**63:
        raise MalformedMessage(f"{field} must be a digit string below 2^63")
    return int(text)
