from __future__ import annotations

import pytest

from aisa.devnet.solana import history
from aisa.devnet.solana.history import History, Landed


def landed(number: int, *addresses: str) -> Landed:
    return Landed(f"sig-{number}", 100 + number, b"", addresses, b"", b"{}")


def test_the_oldest_leave_a_full_history_and_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "HISTORY_MAX", 3)
    kept = History()
    assert kept.first_slot(7) == 7
    for number in range(5):
        kept.add(landed(number, "a", f"only-{number}"))
    assert [one.signature for one in kept.all()] == ["sig-2", "sig-3", "sig-4"]
    assert kept.get("sig-1") is None
    assert kept.of_address("only-1", before=None, until=None, limit=9) == []
    found = kept.of_address("a", before="sig-4", until=None, limit=9)
    assert [one.signature for one in found] == ["sig-3", "sig-2"]
    assert kept.first_slot(7) == 102
    assert (len(kept), kept.added) == (3, 5)
