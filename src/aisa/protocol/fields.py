"""Read the members of one JSON object by name and type, naming what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from aisa.protocol.strictjson import INTEGER_MAX, JsonObject, JsonValue, malformed

_Items: TypeAlias = "tuple[JsonValue, ...]"


@dataclass(frozen=True, slots=True)
class Fields:
    """The members of the object called `what`; a member that is null counts as absent.

    Every reader raises MalformedMessage with the member's full name.
    """

    what: str
    members: JsonObject

    def path(self, name: str) -> str:
        """Return the member's full name, such as `challenge.realm`."""
        return f"{self.what}.{name}"

    def text(
        self,
        name: str,
        *,
        chars_max: int,
        pattern: re.Pattern[str] | None = None,
        empty: bool = False,
    ) -> str:
        """Return a required text of at most `chars_max` characters."""
        value = self.optional_text(name, chars_max=chars_max, pattern=pattern, empty=empty)
        if value is None:
            raise malformed(self.path(name), "is missing")
        return value

    def optional_text(
        self,
        name: str,
        *,
        chars_max: int,
        pattern: re.Pattern[str] | None = None,
        empty: bool = False,
    ) -> str | None:
        """Return a text, or None when the member is absent."""
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise malformed(self.path(name), "is not a string")
        if len(value) > chars_max:
            raise malformed(self.path(name), f"is longer than {chars_max} characters")
        if not value:
            if empty:
                return value
            raise malformed(self.path(name), "is empty")
        if pattern is not None and pattern.fullmatch(value) is None:
            raise malformed(self.path(name), "has characters that do not belong there")
        return value

    def integer(self, name: str, *, low: int = 0, high: int = INTEGER_MAX) -> int:
        """Return a required JSON integer within the range."""
        value = self.members.get(name)
        if value is None:
            raise malformed(self.path(name), "is missing")
        if isinstance(value, bool) or not isinstance(value, int):
            raise malformed(self.path(name), "is not an integer")
        if not low <= value <= high:
            raise malformed(self.path(name), f"is not from {low} to {high}")
        return value

    def boolean(self, name: str) -> bool:
        """Return a required true or false."""
        value = self.members.get(name)
        if not isinstance(value, bool):
            raise malformed(self.path(name), "is missing" if value is None else "is not a boolean")
        return value

    def object(self, name: str) -> JsonObject:
        """Return a required object."""
        value = self.optional_object(name)
        if value is None:
            raise malformed(self.path(name), "is missing")
        return value

    def optional_object(self, name: str) -> JsonObject | None:
        """Return an object, or None when the member is absent."""
        value = self.members.get(name)
        if value is None or isinstance(value, Mapping):
            return value
        raise malformed(self.path(name), "is not an object")

    def array(self, name: str, *, items_max: int) -> _Items:
        """Return a required array of at most `items_max` values."""
        value = self.optional_array(name, items_max=items_max)
        if value is None:
            raise malformed(self.path(name), "is missing")
        return value

    def optional_array(self, name: str, *, items_max: int) -> _Items | None:
        """Return an array, or None when the member is absent."""
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            raise malformed(self.path(name), "is not an array")
        if len(value) > items_max:
            raise malformed(self.path(name), f"has more than {items_max} items")
        return tuple(value)

    def fields(self, name: str) -> Fields:
        """Return the reader of a required object member."""
        return Fields(self.path(name), self.object(name))

    def each(self, name: str, *, items_max: int) -> tuple[Fields, ...]:
        """Return the readers of a required array of objects, of at most `items_max`."""
        found: list[Fields] = []
        for item in self.array(name, items_max=items_max):
            if not isinstance(item, Mapping):
                raise malformed(self.path(name), "has an item that is not an object")
            found.append(Fields(self.path(name), item))
        return tuple(found)

    def others(self, known: frozenset[str]) -> JsonObject:
        """Return the members that are not among the known names."""
        return {name: value for name, value in self.members.items() if name not in known}
