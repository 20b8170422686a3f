"""Backup and restore: an equal digest, and nothing overwritten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aisa.errors import FileOwned, LedgerCorrupt, NotFound, StateConflict
from aisa.ledger import Floor, OpenAccount, Status, Transfer, require_applied
from aisa.ledger.sqlite import SqliteStore
from aisa.ledger.sqlite_backup import backup_file, digest_file, restore, verify_file

NET, ANN = "network:test:T", "account:ann:aiUSD"


def now_ms() -> int:
    return 1_000


def fund(own_id: str) -> tuple[Transfer]:
    return (Transfer(own_id, NET, ANN, 1, "aiUSD", "test"),)


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """A backup taken while the ledger is in use, and then left behind by it."""
    path = tmp_path / "ledger.sqlite"
    async with await SqliteStore.open(path, clock=now_ms) as store:
        opened = (OpenAccount(NET, "aiUSD", Floor.NONE), OpenAccount(ANN, "aiUSD", Floor.NONE))
        require_applied(await store.post(opened))
        require_applied(await store.post(fund("before")))
        await store.backup(tmp_path / "backup.sqlite")
        require_applied(await store.post(fund("after")))
    return tmp_path / "backup.sqlite"


async def test_delete_and_restore_gives_an_equal_digest(tmp_path: Path, backup: Path) -> None:
    target = tmp_path / "new" / "ledger.sqlite"
    target.parent.mkdir()
    report = restore(backup, target)
    assert report.ok
    assert report.rows == 3
    assert digest_file(target) == digest_file(backup)
    assert sorted(one.name for one in target.parent.iterdir()) == [
        "ledger.sqlite",
        "ledger.sqlite.lock",
    ]
    async with await SqliteStore.open(target, clock=now_ms) as store:
        assert await store.digest() == digest_file(backup)
        assert (await store.post(fund("before"))).status is Status.REPEATED
        assert (await store.post(fund("after"))).status is Status.APPLIED
        assert (await store.verify()).ok


def test_a_backup_is_one_file(backup: Path) -> None:
    names = [one.name for one in backup.parent.iterdir() if one.name.startswith("backup")]
    assert names == ["backup.sqlite"]


def test_an_existing_ledger_is_not_overwritten(tmp_path: Path, backup: Path) -> None:
    target = tmp_path / "ledger.sqlite"
    before = target.read_bytes()
    with pytest.raises(StateConflict, match="move it away"):
        restore(backup, target)
    with pytest.raises(StateConflict):
        backup_file(backup, target)
    assert target.read_bytes() == before


def test_a_backup_that_was_changed_is_not_restored(tmp_path: Path, backup: Path) -> None:
    with closing(sqlite3.connect(backup)) as connection:
        connection.execute("UPDATE transfer SET units = 2 WHERE id = 'before'")
        connection.commit()
    target = tmp_path / "new.sqlite"
    with pytest.raises(LedgerCorrupt, match="transfer before") as raised:
        restore(backup, target)
    assert raised.value.facts["table"] == "transfer"
    assert not target.exists()


def test_what_is_no_ledger_is_not_restored(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.sqlite"
    wrong.write_bytes(b"not a database, but long enough to look at" * 100)
    for read in (verify_file, digest_file):
        with pytest.raises(LedgerCorrupt):
            read(wrong)
    with pytest.raises(LedgerCorrupt):
        restore(wrong, tmp_path / "new.sqlite")
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    with pytest.raises(LedgerCorrupt):
        verify_file(empty)
    assert not (tmp_path / "new.sqlite").exists()


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    missing = tmp_path / "missing.sqlite"
    for read in (verify_file, digest_file):
        with pytest.raises(NotFound):
            read(missing)
    with pytest.raises(NotFound):
        restore(missing, tmp_path / "new.sqlite")
    assert not missing.exists()


async def test_a_running_node_keeps_its_place(tmp_path: Path, backup: Path) -> None:
    target = tmp_path / "ledger.sqlite"
    async with await SqliteStore.open(target, clock=now_ms):
        target.unlink()
        with pytest.raises(FileOwned):
            restore(backup, target)
