"""Settings as data: name, kind, default and meaning, read from TOML and checked one by one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from aisa.errors import ConfigInvalid

REQUIRED: Final = object()
"""The default of a setting that has none."""

Check = Callable[[object, str], Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; `check` returns the value as the node uses it, or raises ConfigInvalid."""

    name: str
    check: Check
    default: object
    meaning: str


def read_table(
    table: Mapping[str, object], settings: Sequence[Setting], where: str
) -> dict[str, Any]:
    """Return the values of a table, with defaults for what it leaves out.

    Raises:
        ConfigInvalid: a setting is unknown, missing or has a value that cannot work; names it.
    """
    known = {setting.name for setting in settings}
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise ConfigInvalid(f"{where}{name} is not a setting", hint=hint, setting=name)
    values: dict[str, Any] = {}
    for setting in settings:
        full = where + setting.name
        if setting.name in table:
            values[setting.name] = setting.check(table[setting.name], full)
        elif setting.default is REQUIRED:
            raise ConfigInvalid(f"{full} is missing", hint=setting.meaning, setting=full)
        else:
            values[setting.name] = setting.default
    return values


def text(pattern: str = r".{1,400}") -> Check:
    """Accept a text that matches."""

    def check(value: object, name: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise wrong(name, value, f"a text that matches {pattern}")
        return value

    return check


def one_of(*choices: str) -> Check:
    """Accept one of these texts."""

    def check(value: object, name: str) -> str:
        if value not in choices:
            raise wrong(name, value, f"one of {', '.join(choices)}")
        return cast("str", value)

    return check


def integer(low: int, high: int) -> Check:
    """Accept an integer, or the digits of one, within the range."""

    def check(value: object, name: str) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise wrong(name, value, f"an integer from {low} to {high}")
        return value

    return check


def texts(inner: Check) -> Check:
    """Accept a list of texts, or one text with commas between them."""

    def check(value: object, name: str) -> tuple[str, ...]:
        if isinstance(value, str):
            value = [part for part in value.split(",") if part]
        if not isinstance(value, list):
            raise wrong(name, value, "a list of texts")
        return tuple(inner(item, name) for item in cast("list[object]", value))

    return check


def decimal(value: object, name: str) -> str:
    """Accept a plain decimal, written as a text so that no digit is lost."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", value):
        raise wrong(name, value, 'a decimal in quotes, such as "1000.50"')
    return value


def wrong(name: str, value: object, wanted: str) -> ConfigInvalid:
    """Return the error that names a setting, what it has and what it should have."""
    return ConfigInvalid(f"{name} is {str(value)[:80]!r}, not {wanted}", setting=name)
