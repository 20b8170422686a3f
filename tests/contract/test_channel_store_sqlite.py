"""The payee's store on SQLite keeps the port's promises, and has one owner."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aisa.channel.sqlite import SqliteChannelStore
from aisa.channel.store import StoreBatch
from aisa.errors import ConfigInvalid, FileOwned, StoreUnavailable
from tests.contract.channel_store_suite import T0, ChannelStoreSuite, channel_row, charge

PAYEE = bytes([5]) * 32


class TestSqlite(ChannelStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteChannelStore]:
        self.path = tmp_path / "folder" / "seller.sqlite"
        self.opened = [SqliteChannelStore(self.path, PAYEE)]
        yield self.opened[0]
        for store in self.opened:
            store.close()

    def reopen(self) -> SqliteChannelStore:
        self.opened.append(SqliteChannelStore(self.path, PAYEE))
        return self.opened[-1]


def test_others_may_read_while_it_is_served(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        store.commit(StoreBatch(1, T0, new_channels=(channel_row(),)))
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0)) as other:
            assert len(other.execute("SELECT * FROM channel").fetchall()) == 1
            store.commit(StoreBatch(2, T0, channels=(channel_row(charged=100),)))
            assert other.execute("SELECT charged FROM channel").fetchone() == (100,)


def test_it_commits_durably_and_checkpoints_as_sqlite_does(tmp_path: Path) -> None:
    store = SqliteChannelStore(tmp_path / "s.sqlite", PAYEE)
    pragmas = {
        name: store._writer.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "wal_autocheckpoint")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 1000}
    store.close()


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    store = SqliteChannelStore(tmp_path / "s.sqlite", PAYEE)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 4
    store.close()


def test_another_process_is_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    program = (
        "import sys; from pathlib import Path; from aisa.channel.sqlite import SqliteChannelStore\n"
        f"store = SqliteChannelStore(Path({str(path)!r}), bytes([5]) * 32)\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    try:
        assert owner.stdout.readline() == b"open\n"
        with pytest.raises(FileOwned, match=f"in use by process {owner.pid}") as caught:
            SqliteChannelStore(path, PAYEE)
        assert "hash the channel id" in caught.value.hint
    finally:
        owner.kill()
        owner.wait()
        owner.stdin.close()
        owner.stdout.close()
    SqliteChannelStore(path, PAYEE).close()


def test_the_file_belongs_to_one_payee(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    SqliteChannelStore(path, PAYEE).close()
    with pytest.raises(ConfigInvalid, match="another payee key"):
        SqliteChannelStore(path, bytes(32))
    SqliteChannelStore(path, PAYEE).close()


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    SqliteChannelStore(path, PAYEE).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version=99")
    raw.close()
    with pytest.raises(ConfigInvalid, match="version 99"):
        SqliteChannelStore(path, PAYEE)


def test_a_file_of_version_1_keeps_its_charges_and_forgets_its_answers(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    made = charge(1, 100)
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        store.commit(StoreBatch(1, T0, new_channels=(channel_row(),)))
        store.commit(StoreBatch(2, T0, channels=(channel_row(charged=100),), charges=(made,)))
    with sqlite3.connect(path) as raw:
        raw.executescript(
            "ALTER TABLE batch DROP COLUMN answers;"
            "CREATE TABLE answers (batch INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;"
            "PRAGMA user_version=1;"
        )
    raw.close()
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        stored = store.charge(1, 0, 1)
        assert stored is not None
        assert stored.charge == made._replace(answer=b"")
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (2,)
    raw.close()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, but it is long enough to be read as one" * 100)
    with pytest.raises(StoreUnavailable):
        SqliteChannelStore(path, PAYEE)


def test_a_full_disk_fails_the_commit_and_nothing_else(tmp_path: Path) -> None:
    store = SqliteChannelStore(tmp_path / "s.sqlite", PAYEE)
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count={pages}")
    rows = tuple(channel_row(number) for number in range(1, 2000))
    with pytest.raises(StoreUnavailable, match="full"):
        store.commit(StoreBatch(1, T0, new_channels=rows))
    assert store.summary().channel_last == 0
    store._writer.execute("PRAGMA max_page_count=100000")
    store.commit(StoreBatch(1, T0, new_channels=rows))
    assert store.summary().channel_last == 1999
    store.close()
    store.close()
