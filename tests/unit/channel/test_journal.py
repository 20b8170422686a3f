"""The payee's journal gives back what was appended, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from aisa.channel.sqlite.journal import BYTES, Journal

KEY = bytes(range(32))


def written(path: Path, bodies: list[bytes], generation: int = 3) -> None:
    journal = Journal(path, generation, KEY)
    for body in bodies:
        assert journal.append(body)
    journal.close()


def found(path: Path, generation: int = 3, key: bytes = KEY) -> list[bytes]:
    journal = Journal(path, generation, key)
    bodies = list(journal.records())
    journal.close()
    return bodies


def test_a_new_journal_is_empty_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "j"
    assert found(path, generation=0) == []
    assert path.stat().st_size == BYTES
    assert path.stat().st_mode & 0o777 == 0o600


def test_records_come_back_in_their_order(tmp_path: Path) -> None:
    bodies = [b"one", b"", bytes(5000), b"four"]
    written(tmp_path / "j", bodies)
    assert found(tmp_path / "j") == bodies


def test_appending_goes_on_after_what_was_read(tmp_path: Path) -> None:
    written(tmp_path / "j", [b"one"])
    journal = Journal(tmp_path / "j", 3, KEY)
    assert list(journal.records()) == [b"one"]
    journal.append(b"two")
    journal.close()
    assert found(tmp_path / "j") == [b"one", b"two"]


def test_a_new_generation_starts_at_the_front_and_hides_the_old(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", 3, KEY)
    for body in (b"first", b"second", b"third"):
        journal.append(body)
    journal.start_anew()
    # As long as the first: the second old record stands exactly where the next one will.
    journal.append(b"FIRST")
    journal.close()
    assert found(tmp_path / "j", 4) == [b"FIRST"]
    assert found(tmp_path / "j", 3) == []


def test_another_key_reads_nothing(tmp_path: Path) -> None:
    written(tmp_path / "j", [b"one"])
    assert found(tmp_path / "j", key=bytes(32)) == []


def test_a_full_journal_takes_no_more_and_keeps_what_it_has(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", 3, KEY)
    taken = 0
    while journal.append(bytes(100_000)):
        taken += 1
    journal.flush()
    journal.close()
    assert taken == 10
    assert found(tmp_path / "j") == [bytes(100_000)] * 10


def test_timing_the_disk_leaves_the_records_alone(tmp_path: Path) -> None:
    written(tmp_path / "j", [b"one"])
    journal = Journal(tmp_path / "j", 3, KEY)
    assert list(journal.records()) == [b"one"]
    journal.flush()
    journal.close()
    assert found(tmp_path / "j") == [b"one"]


@pytest.mark.parametrize("damage", ["cut", "zeros", "noise"])
def test_a_record_that_is_not_whole_ends_the_reading(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "j"
    first, last = b"the first one", b"the one that the power went out on"
    written(path, [first, last])
    whole = path.read_bytes()
    start = whole.index(last) - 28
    seeded = Random(damage)
    for keep in range(start, start + 28 + len(last)):
        rest = len(whole) - keep
        match damage:
            case "cut":
                path.write_bytes(whole[:keep])
            case "zeros":
                path.write_bytes(whole[:keep] + bytes(rest))
            case _:
                flipped = bytes([whole[keep] ^ seeded.randint(1, 255)])
                path.write_bytes(whole[:keep] + flipped + whole[keep + 1 :])
        assert found(path) == [first], keep


def test_a_short_write_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j", 3, KEY)
    monkeypatch.setattr(os, "pwrite", lambda file, body, place: len(body) - 1)
    with pytest.raises(OSError, match="part of a record"):
        journal.append(b"one")
    monkeypatch.undo()
    journal.close()
