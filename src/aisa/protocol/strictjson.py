"""Strict JSON: UTF-8, bounded, no duplicate names, no NaN, no integer beyond 2^53 - 1.

The standard library reads it, because it is the reader that can see a repeated name: two parties
that resolve `{"amount":"1","amount":"100"}` differently are a way to steal.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, TypeAlias, cast

from aisa.errors import MalformedMessage

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
JsonObject: TypeAlias = "Mapping[str, JsonValue]"

INTEGER_MAX: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly."""

DEPTH_MAX: Final = 32
BODY_BYTES_MAX: Final = 64 * 1024

# So few brackets cannot nest deeply enough to exhaust the reader's stack.
_BRACKETS_UNSEEN_MAX: Final = 400
_STRING: Final = re.compile(r'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS: Final = re.compile(r"[^\[\]{}]+")


def parse_json(
    data: bytes | str, what: str = "body", *, bytes_max: int = BODY_BYTES_MAX
) -> JsonValue:
    """Return the value that the text says.

    Raises:
        MalformedMessage: it is not strict JSON, too long, or nested deeper than 32; names `what`.
    """
    text = _text(data, what, bytes_max)
    if text.count("[") + text.count("{") > _BRACKETS_UNSEEN_MAX and _depth(text) > DEPTH_MAX + 1:
        raise malformed(what, "is nested too deeply")
    try:
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_exact,
        )
    except ValueError as error:
        raise malformed(what, f"is not strict JSON: {_reason(error)}") from None
    check_json(value, what)
    return value


def parse_object(
    data: bytes | str, what: str = "body", *, bytes_max: int = BODY_BYTES_MAX
) -> JsonObject:
    """Return the JSON object that the text says.

    Raises:
        MalformedMessage: as `parse_json`, or the value is not an object.
    """
    value = parse_json(data, what, bytes_max=bytes_max)
    if not isinstance(value, Mapping):
        raise malformed(what, "is not a JSON object")
    return value


def format_json(value: JsonValue) -> str:
    """Return the value as compact JSON, members in the order they are in.

    Raises:
        MalformedMessage: a number is not finite or exact, or a text is not Unicode.
    """
    check_json(value, "value")
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_plain)


def check_json(value: JsonValue, what: str, depth: int = 0) -> None:
    """Check that the value is one `parse_json` could have returned.

    Raises:
        MalformedMessage: it is not; names `what`.
    """
    if depth > DEPTH_MAX:
        raise malformed(what, f"is nested deeper than {DEPTH_MAX}")
    if isinstance(value, Mapping):
        for name, member in cast("Mapping[object, JsonValue]", value).items():
            if not isinstance(name, str):
                raise malformed(what, "has a member name that is not a string")
            _check_unicode(name, what)
            check_json(member, what, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in cast("Sequence[JsonValue]", value):
            check_json(item, what, depth + 1)
    else:
        _check_scalar(value, what)


def present(members: JsonObject, other: JsonObject | None = None) -> dict[str, JsonValue]:
    """Return the known members that are not None, then the others that they do not hide."""
    known: dict[str, JsonValue] = {
        name: value for name, value in members.items() if value is not None
    }
    if not other:
        return known
    return {**known, **{name: value for name, value in other.items() if name not in members}}


def malformed(what: str, why: str) -> MalformedMessage:
    """Return the error that names the field and says what is wrong with it."""
    return MalformedMessage(f"{what} {why}", field=what)


def _text(data: bytes | str, what: str, bytes_max: int) -> str:
    if len(data) > bytes_max:
        raise malformed(what, f"is longer than {bytes_max} bytes")
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed(what, "is not UTF-8") from None


def _depth(text: str) -> int:
    """Return how deeply the brackets outside of strings nest.

    The reader stops at Python's recursion limit only, which any library may raise (py_ecc sets it
    to 100,000 when it is imported): a short body would then end the process.
    """
    depth = deepest = 0
    for bracket in _NOT_BRACKETS.sub("", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is repeated in an object")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _exact(digits: str) -> int:
    # Checked on the length first: Python refuses to convert more than 4,300 digits.
    if len(digits) > 17 or abs(number := int(digits)) > INTEGER_MAX:
        raise ValueError("an integer is beyond 2^53 - 1; write it as a string")
    return number


def _reason(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _check_scalar(value: object, what: str) -> None:
    if isinstance(value, str):
        _check_unicode(value, what)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise malformed(what, "has a number that is not finite")
    elif isinstance(value, int):  # a boolean too
        if abs(value) > INTEGER_MAX:
            raise malformed(what, "has an integer beyond 2^53 - 1; write it as a string")
    elif value is not None:
        raise malformed(what, f"has a value of type {type(value).__name__}")


def _check_unicode(text: str, what: str) -> None:
    # A lone surrogate can be written with an escape but has no UTF-8 form to sign or send.
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise malformed(what, "has a text that is not Unicode")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, JsonValue]", value))
    raise TypeError(f"{type(value).__name__} is not JSON")  # pragma: no cover - checked before
