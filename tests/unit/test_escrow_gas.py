"""The escrow's gas as the docs tell it: what was measured, and beside the published figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path(__file__).parents[2]
_ROW: Final = re.compile(r"^\| (.+) \| `(\w+)` \| ([\d,]+) \| ([\d,]+|–) \|$", re.MULTILINE)


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _rows() -> dict[str, tuple[int, int | None]]:
    page = (ROOT / "docs" / "explanation" / "escrow.md").read_text(encoding="utf-8")
    return {
        name: (_number(ours), None if theirs == "–" else _number(theirs))
        for _, name, ours, theirs in _ROW.findall(page)
    }


def test_the_docs_tell_the_measured_gas() -> None:
    kept = (ROOT / "contracts" / "gas" / "ChannelEscrow.json").read_bytes()
    measured = msgspec.json.decode(kept, type=dict[str, str])
    assert {name: ours for name, (ours, _) in _rows().items()} == {
        name: int(gas) for name, gas in measured.items()
    }


def test_no_call_costs_more_than_the_published_one() -> None:
    compared = [(ours, theirs) for ours, theirs in _rows().values() if theirs is not None]
    assert len(compared) == 9
    assert all(ours <= theirs for ours, theirs in compared)


def test_a_channel_among_fifty_costs_at_most_18000() -> None:
    ours, _ = _rows()["claim_50_channels"]
    assert ours <= 50 * 18_000
