from __future__ import annotations

import pytest

from aisa.errors import MalformedMessage
from aisa.protocol.timestamp import format_timestamp, parse_timestamp


@pytest.mark.parametrize(
    ("text", "unix_s"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-12-01T00:05:00Z", 1_796_083_500),
        ("2026-12-01t01:05:00.999999999+01:00", 1_796_083_500),
        ("1969-12-31T23:59:59.5z", -1),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ],
)
def test_timestamps_are_read(text: str, unix_s: int) -> None:
    assert parse_timestamp(text, "time") == (unix_s)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026-12-01", "2026-12-01T00:05:00", "2026-12-01 00:05:00Z", "2026-13-01T00:00:00Z"),
        *("2026-02-30T00:00:00Z", "2026-12-01T24:00:01Z", "2026-12-01T00:05:00+99:00"),
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2026-12-01T00:05:00Z" * 9),
        "\u0662026-12-01T00:05:00Z",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage, match=r"^time "):
        parse_timestamp(text, "time")


def test_years_that_there_are_not_cannot_be_written() -> None:
    assert format_timestamp(-62_135_596_800) == "0001-01-01T00:00:00Z"
    for unix_s in (-62_135_596_801, 253_402_300_800, 10**30):
        with pytest.raises(MalformedMessage):
            format_timestamp(unix_s)
