"""Messages as frozen dataclasses, and their JSON: one description for client, node and OpenAPI.

A field's type says how it is written: `Units` as a digit string, bytes as base64url, `ChannelId`
too, enums by value. Nothing else about a message is written twice.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final, TypeVar, cast

from aisa.errors import InvalidAmount, MalformedMessage
from aisa.protocol import base64url
from aisa.protocol.aip import DepositStatement, Voucher
from aisa.protocol.strictjson import INTEGER_MAX, JsonValue, format_json, malformed, parse_json

T = TypeVar("T")

_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class UnitsRange:
    """Marks an integer that is written as a digit string of at least `low`, below 2^63."""

    low: int = 0


@dataclass(frozen=True, slots=True)
class Size:
    """Marks bytes of exactly so many, or a tuple of at most so many items."""

    count: int


@dataclass(frozen=True, slots=True)
class TextRule:
    """Marks a text by the pattern that the whole of it must match."""

    pattern: str


Units = Annotated[int, UnitsRange()]
PositiveUnits = Annotated[int, UnitsRange(1)]
Key = Annotated[bytes, Size(32)]
ChannelId = Annotated[bytes, Size(32)]
Salt = Annotated[bytes, Size(16)]
Signature = Annotated[bytes, Size(64)]
RequestId = Annotated[str, TextRule(r"[A-Za-z0-9_-]{1,64}")]
Name = Annotated[str, TextRule(r"[\x20-\x7e]{1,200}")]


@dataclass(frozen=True, slots=True)
class Hint:
    """A resolved type: its plain form, its mark, and whether null may stand for it."""

    plain: Any
    mark: object
    optional: bool


def hint_of(annotation: Any) -> Hint:
    """Return what an annotation says about its JSON."""
    mark: object = None
    optional = False
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        members = [item for item in typing.get_args(annotation) if item is not type(None)]
        annotation, optional = members[0], True
    if typing.get_origin(annotation) is Annotated:
        annotation, mark = typing.get_args(annotation)[:2]
    return Hint(annotation, mark, optional)


# Types of the wire that are fixed elsewhere, and how the node's API writes their fields.
_FOREIGN: Final[Mapping[type, Mapping[str, Any]]] = {
    DepositStatement: {"channel": ChannelId, "deposit": Units, "signature": Signature},
}


@cache
def fields_of(cls: type) -> tuple[tuple[str, Hint, bool], ...]:
    """Return a message's fields: name, hint, and whether it may be left out."""
    hints = {**typing.get_type_hints(cls, include_extras=True), **_FOREIGN.get(cls, {})}
    return tuple(
        (field.name, hint_of(hints[field.name]), field.default is not dataclasses.MISSING)
        for field in dataclasses.fields(cls)
    )


def encode(message: object) -> bytes:
    """Return the JSON of a message, or of a tuple of messages."""
    if isinstance(message, tuple):
        items = cast("tuple[object, ...]", message)
        return format_json([_object(item) for item in items]).encode()
    return format_json(_object(message)).encode()


def decode(
    shape: type[T], raw: bytes, what: str, *, bytes_max: int, allow_unknown: bool = False
) -> T:
    """Return the message that `raw` says; an answer may have members that we do not know.

    Raises:
        InvalidAmount: an amount is not a digit string in its range; names the field.
        MalformedMessage: no strict JSON, or a field is missing, unknown or of another shape.
    """
    value = parse_json(raw, what, bytes_max=bytes_max)
    return cast("T", _Reader(allow_unknown).value(value, hint_of(shape), what))


def _object(message: object) -> dict[str, JsonValue]:
    members: dict[str, JsonValue] = {}
    for name, hint, _ in fields_of(type(message)):
        value = getattr(message, name)
        if value is not None:
            members[name] = _json(value, hint)
    return members


def _json(value: Any, hint: Hint) -> JsonValue:
    if isinstance(hint.mark, UnitsRange):
        return str(value)
    if isinstance(value, bytes):
        return base64url.encode(value)
    if isinstance(value, Enum):
        return cast("str", value.value)
    if isinstance(value, Voucher):
        return value.encode()
    if isinstance(value, tuple):
        inner = hint_of(typing.get_args(hint.plain)[0])
        return [_json(item, inner) for item in cast("tuple[Any, ...]", value)]
    if dataclasses.is_dataclass(value):
        return _object(value)
    return cast("JsonValue", value)


@dataclass(frozen=True, slots=True)
class _Reader:
    allow_unknown: bool

    def value(self, value: JsonValue, hint: Hint, what: str) -> object:
        plain = hint.plain
        if typing.get_origin(plain) is tuple:
            return self._items(value, hint, what)
        if isinstance(hint.mark, UnitsRange):
            return _units(value, hint.mark, what)
        if plain is Voucher:
            return Voucher.decode(_text(value, what))
        if dataclasses.is_dataclass(plain):
            return self._message(value, cast("type", plain), what)
        if issubclass(plain, Enum):
            return _member(value, plain, what)
        return _SCALARS[plain](value, hint, what)

    def _message(self, value: JsonValue, cls: type, what: str) -> object:
        if not isinstance(value, Mapping):
            raise malformed(what, "is not an object")
        known = fields_of(cls)
        unknown = set(value) - {name for name, _, _ in known}
        if unknown and not self.allow_unknown:
            raise malformed(f"{what}.{min(unknown)}"[:120], "is not known here")
        arguments: dict[str, object] = {}
        for name, hint, may_lack in known:
            member = value.get(name)
            if member is not None:
                arguments[name] = self.value(member, hint, f"{what}.{name}")
            elif not (may_lack or hint.optional):
                raise malformed(f"{what}.{name}", "is missing")
        return cls(**arguments)

    def _items(self, value: JsonValue, hint: Hint, what: str) -> object:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise malformed(what, "is not an array")
        if isinstance(hint.mark, Size) and len(value) > hint.mark.count:
            raise malformed(what, f"has more than {hint.mark.count} items")
        inner = hint_of(typing.get_args(hint.plain)[0])
        return tuple(self.value(item, inner, f"{what}[{n}]") for n, item in enumerate(value))


def _units(value: JsonValue, allowed: UnitsRange, what: str) -> int:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        units = int(value)
        if allowed.low <= units < 2**63:
            return units
    raise InvalidAmount(
        f"{what} must be a string of digits from {allowed.low} to 2^63 - 1",
        hint="write whole units of the currency, such as 100 for 0.0001 at scale 6",
        field=what,
    )


def _text(value: JsonValue, what: str, chars_max: int = 4096) -> str:
    if not isinstance(value, str):
        raise malformed(what, "is not a string")
    if len(value) > chars_max:
        raise malformed(what, f"is longer than {chars_max} characters")
    return value


def _ruled_text(value: JsonValue, hint: Hint, what: str) -> str:
    text = _text(value, what)
    if isinstance(hint.mark, TextRule) and not re.fullmatch(hint.mark.pattern, text):
        raise malformed(what, f"does not match {hint.mark.pattern}")
    return text


def _member(value: JsonValue, cls: type[Enum], what: str) -> Enum:
    try:
        return cls(value)
    except ValueError:
        names = ", ".join(str(member.value) for member in cls)
        raise malformed(what, f"is none of {names}") from None


def _integer(value: JsonValue, hint: Hint, what: str) -> int:
    del hint
    if type(value) is not int or not 0 <= value <= INTEGER_MAX:
        raise malformed(what, "is not an integer from 0 to 2^53 - 1")
    return value


def _boolean(value: JsonValue, hint: Hint, what: str) -> bool:
    del hint
    if not isinstance(value, bool):
        raise malformed(what, "is not true or false")
    return value


def _bytes(value: JsonValue, hint: Hint, what: str) -> bytes:
    if not isinstance(hint.mark, Size):
        raise MalformedMessage(f"{what} has no size")
    return base64url.decode_exact(_text(value, what), what, hint.mark.count)


_SCALARS: Final[Mapping[type, Callable[[JsonValue, Hint, str], object]]] = {
    str: _ruled_text,
    int: _integer,
    bool: _boolean,
    bytes: _bytes,
}
