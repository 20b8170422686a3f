"""RFC 3339 timestamps as MPP writes them, and unix seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from aisa.errors import MalformedMessage
from aisa.protocol.strictjson import malformed

CHARS_MAX: Final = 40
_SECOND: Final = timedelta(seconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


def parse_timestamp(text: str, what: str) -> int:
    """Return unix seconds, rounded down.

    Raises:
        MalformedMessage: it is not an RFC 3339 date and time with an offset.
    """
    match = _SHAPE.fullmatch(text[: CHARS_MAX + 1])
    if match is None:
        raise malformed(what, "is not an RFC 3339 timestamp")
    whole = text.upper().replace(match[1] or "", "", 1).replace("Z", "+00:00")
    try:
        unix_s = (datetime.fromisoformat(whole) - _EPOCH) // _SECOND
        format_timestamp(unix_s)  # an offset can reach beyond the years that there are
    except (ValueError, OverflowError, MalformedMessage):
        raise malformed(what, "is not a real date and time") from None
    return unix_s


def format_timestamp(unix_s: int) -> str:
    """Return the second as `2026-12-01T00:05:00Z`.

    Raises:
        MalformedMessage: it is outside the years 1 to 9999.
    """
    try:
        moment = _EPOCH + _SECOND * unix_s
    except OverflowError:
        raise malformed("timestamp", "is outside the years 1 to 9999") from None
    return moment.isoformat().removesuffix("+00:00") + "Z"
