"""Structured fields (RFC 9651) as far as message signatures use them: dictionaries.

Items are strings, tokens, integers, byte sequences and booleans; a value written back is canonical.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from aisa.protocol.base64url import encode_standard
from aisa.protocol.strictjson import malformed

VALUE_CHARS_MAX: Final = 8 * 1024
MEMBERS_MAX: Final = 64
INTEGER_MAX: Final = 999_999_999_999_999

_KEY: Final = re.compile(r"[a-z*][a-z0-9_.*-]{0,63}", re.ASCII)
_INTEGER: Final = re.compile(r"-?[0-9]{1,15}(?![0-9.])", re.ASCII)
_STRING: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_TOKEN: Final = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*", re.ASCII)
_BYTES: Final = re.compile(r":([A-Za-z0-9+/]*={0,2}):", re.ASCII)
_BOOLEAN: Final = re.compile(r"\?([01])")
_SPACES: Final = re.compile(r" *")
_GAP: Final = re.compile(r"[ \t]*,[ \t]*")


@dataclass(frozen=True, slots=True)
class Token:
    """A bare word, which is not the string of the same letters."""

    text: str


BareItem: TypeAlias = "str | int | bool | bytes | Token"
Parameters: TypeAlias = "tuple[tuple[str, BareItem], ...]"


@dataclass(frozen=True, slots=True)
class Item:
    """One value and its parameters."""

    value: BareItem
    parameters: Parameters = ()

    def format(self) -> str:
        """Return the canonical text."""
        return _bare_text(self.value) + _parameters_text(self.parameters)


@dataclass(frozen=True, slots=True)
class InnerList:
    """Several items in brackets, and the parameters of the whole."""

    items: tuple[Item, ...]
    parameters: Parameters = ()

    def format(self) -> str:
        """Return the canonical text."""
        inside = " ".join(item.format() for item in self.items)
        return f"({inside})" + _parameters_text(self.parameters)


Dictionary: TypeAlias = "dict[str, Item | InnerList]"


def parse_dictionary(value: str, what: str) -> Dictionary:
    """Read a dictionary field; several lines of a field are joined by a comma before.

    Raises:
        MalformedMessage: it does not follow the grammar, is longer than 8 KiB, or repeats a key.
    """
    if len(value) > VALUE_CHARS_MAX:
        raise malformed(what, f"is longer than {VALUE_CHARS_MAX} characters")
    return _Reader(value.strip(" "), what).dictionary()


def format_dictionary(members: Dictionary) -> str:
    """Return the canonical text of the field."""
    return ", ".join(
        key + _parameters_text(member.parameters)
        if isinstance(member, Item) and member.value is True
        else f"{key}={member.format()}"
        for key, member in members.items()
    )


class _Reader:
    def __init__(self, value: str, what: str) -> None:
        self._value = value
        self._what = what
        self._at = 0

    def dictionary(self) -> Dictionary:
        members: Dictionary = {}
        while self._at < len(self._value):
            key = self._must(_KEY, "a key")[0]
            if key in members or len(members) == MEMBERS_MAX:
                raise malformed(
                    self._what, f"repeats {key!r} or has more than {MEMBERS_MAX} members"
                )
            members[key] = self._member() if self._skip("=") else Item(True, self._parameters())
            if self._at < len(self._value):
                self._must(_GAP, "a comma")
                if self._at == len(self._value):
                    raise malformed(self._what, "ends with a comma")
        return members

    def _member(self) -> Item | InnerList:
        if not self._skip("("):
            return self._item()
        items: list[Item] = []
        self._must(_SPACES, "")
        while not self._skip(")"):
            items.append(self._item())
            if len(items) > MEMBERS_MAX:
                raise malformed(self._what, f"has more than {MEMBERS_MAX} items in a list")
            if self._next() not in (" ", ")"):
                raise malformed(self._what, f"lacks a space at {self._at}")
            self._must(_SPACES, "")
        return InnerList(tuple(items), self._parameters())

    def _item(self) -> Item:
        return Item(self._bare(), self._parameters())

    def _parameters(self) -> Parameters:
        found: dict[str, BareItem] = {}
        while self._skip(";"):
            self._must(_SPACES, "")
            key = self._must(_KEY, "a parameter")[0]
            if key in found or len(found) == MEMBERS_MAX:
                raise malformed(self._what, f"repeats the parameter {key!r} or has too many")
            found[key] = self._bare() if self._skip("=") else True
        return tuple(found.items())

    def _bare(self) -> BareItem:
        first = self._next()
        if first == '"':
            return re.sub(r"\\(.)", r"\1", self._must(_STRING, "a string")[1])
        if first == ":":
            return self._octets(self._must(_BYTES, "a byte sequence")[1])
        if first == "?":
            return self._must(_BOOLEAN, "a boolean")[1] == "1"
        if first == "-" or first.isdecimal():
            return int(self._must(_INTEGER, "an integer")[0])
        return Token(self._must(_TOKEN, "an item")[0])

    def _octets(self, text: str) -> bytes:
        try:
            data = base64.b64decode(text, validate=True)
        except ValueError:
            raise malformed(self._what, "has a byte sequence that is not base64") from None
        if encode_standard(data) != text:
            raise malformed(self._what, "has a byte sequence that is not canonical base64")
        return data

    def _next(self) -> str:
        return self._value[self._at : self._at + 1]

    def _skip(self, character: str) -> bool:
        if self._next() != character:
            return False
        self._at += 1
        return True

    def _must(self, pattern: re.Pattern[str], name: str) -> re.Match[str]:
        match = pattern.match(self._value, self._at)
        if match is None:
            raise malformed(self._what, f"lacks {name} at {self._at}")
        self._at = match.end()
        return match


def _parameters_text(parameters: Parameters) -> str:
    return "".join(
        f";{key}" if value is True else f";{key}={_bare_text(value)}" for key, value in parameters
    )


def _bare_text(value: BareItem) -> str:
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise malformed("integer", "has more than 15 digits")
        return str(value)
    if isinstance(value, bytes):
        return f":{encode_standard(value)}:"
    if isinstance(value, Token):
        return value.text
    if not (value.isascii() and value.isprintable()) and value:
        raise malformed("string", "has a character outside printable ASCII")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
