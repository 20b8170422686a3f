"""Canonical JSON (RFC 8785) for what AISA signs: everything but floats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from aisa.protocol.strictjson import JsonValue, check_json, malformed


def canonical(value: JsonValue, what: str = "value") -> bytes:
    """Return the one UTF-8 text that stands for the value: sorted names, no spaces.

    Raises:
        MalformedMessage: a float, an integer beyond 2^53 - 1, a text that is not Unicode, or nested
            deeper than 32.
    """
    check_json(value, what)
    ordered = _ordered(value, what)
    return json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()


def _ordered(value: JsonValue, what: str) -> JsonValue:
    if isinstance(value, float):
        raise malformed(what, "has a float, which has no canonical form here")
    if isinstance(value, Mapping):
        members = cast("Mapping[str, JsonValue]", value)
        # RFC 8785 sorts by UTF-16 code units, which differs from Python's order beyond U+FFFF.
        names = sorted(members, key=lambda name: name.encode("utf-16-be"))
        return {name: _ordered(members[name], what) for name in names}
    if isinstance(value, (list, tuple)):
        return [_ordered(item, what) for item in cast("Sequence[JsonValue]", value)]
    return value
