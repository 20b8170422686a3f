"""The payee's store on SQLite keeps the port's promises, and has one owner."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aisa.channel.sqlite import schema
from aisa.channel.sqlite.store import SqliteChannelStore
from aisa.channel.store import LaneRow, StoreBatch
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
    assert len(modes) == 5
    store.close()


def test_another_process_is_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    program = (
        "import sys; from pathlib import Path; from aisa.channel.sqlite.store import SqliteChannelStore\n"
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
            "ALTER TABLE channel DROP COLUMN escrow;"
            "CREATE TABLE answers (batch INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;"
            "PRAGMA user_version=1;"
        )
    raw.close()
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        stored = store.charge(1, 0, 1)
        assert stored is not None
        assert stored.charge == made._replace(answer=b"")
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    raw.close()


def test_a_file_of_version_3_knows_channels_at_hubs_only(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        store.commit(StoreBatch(1, T0, new_channels=(channel_row(),)))
    with sqlite3.connect(path) as raw:
        raw.executescript("ALTER TABLE channel DROP COLUMN escrow; PRAGMA user_version=3;")
    raw.close()
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        stored = store.channel_by_number(1)
        assert stored is not None
        assert stored.row == channel_row()
        other = channel_row(2, escrow=bytes(range(137)))
        store.commit(StoreBatch(2, T0, new_channels=(other,)))
        stored = store.channel_by_number(2)
        assert stored is not None
        assert stored.row == other


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


def opened(path: Path) -> SqliteChannelStore:
    store = SqliteChannelStore(path, PAYEE)
    store.commit(StoreBatch(1, T0, new_channels=(channel_row(),)))
    return store


def charge_one(store: SqliteChannelStore, number: int, answer: bytes = b"kept") -> None:
    made = charge(number, 100 * number, answer=answer)
    lane = LaneRow(1, 0, 100 * number, closed=False)
    row = channel_row(charged=100 * number)
    store.commit(StoreBatch(number + 1, T0 + number, (), (row,), (), (lane,), (made,)))


def crashed(path: Path, name: str) -> Path:
    """The files as a crash at this moment would leave them."""
    folder = path.parent.parent / name
    shutil.copytree(path.parent, folder)
    return folder / path.name


def tables(path: Path) -> tuple[int, int]:
    """The charges that are in the tables, and their sum."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as raw:
        return raw.execute("SELECT COUNT(*), COALESCE(SUM(units), 0) FROM charge").fetchone()


def charged(path: Path) -> int:
    """What the store says is charged, after a look that its rows agree."""
    with closing(SqliteChannelStore(path, PAYEE)) as store:
        found, lane = store.channel_by_number(1), store.lane(1, 0)
        assert found is not None
        assert (found.row.charged, len(lane.seqs) * 100) == (lane.units,) * 2 if lane else (0, 0)
        assert tables(path)[1] == found.row.charged
        return found.row.charged


def test_charges_survive_a_crash_before_they_are_folded(tmp_path: Path) -> None:
    path = tmp_path / "live" / "s.sqlite"
    with closing(opened(path)) as store:
        for number in range(1, 4):
            charge_one(store, number)
        assert tables(path) == (0, 0)
        left = crashed(path, "crashed")
        assert charged(left) == 300
        assert charged(left) == 300, "and once more, after the fold"
        with closing(SqliteChannelStore(left, PAYEE)) as again:
            stored = again.charge(1, 0, 3)
            assert stored is not None
            assert (stored.batch, stored.charge) == (4, charge(3, 300, answer=b"kept"))
            assert again.summary().batch_last == 4
            charge_one(again, 4)
    assert charged(left) == 400


def test_a_crash_after_a_fold_folds_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "live" / "s.sqlite"
    journal = path.with_name("s.sqlite.journal")
    with closing(opened(path)) as store:
        charge_one(store, 1)
        charge_one(store, 2)
        before = journal.read_bytes()
        assert store.batch(2) == (charge(1, 100, answer=b""),)
        assert tables(path) == (2, 200)
        left = crashed(path, "crashed")
        left.with_name("s.sqlite.journal").write_bytes(before)
        assert charged(left) == 200


def test_a_batch_of_another_kind_takes_the_journal_along(tmp_path: Path) -> None:
    path = tmp_path / "live" / "s.sqlite"
    with closing(opened(path)) as store:
        charge_one(store, 1)
        store.commit(StoreBatch(3, T0, channels=(channel_row(charged=100, ceiling=600_000),)))
        assert tables(path) == (1, 100)
        assert charged(crashed(path, "crashed")) == 100


def test_many_charges_and_large_answers_are_folded_by_themselves(tmp_path: Path) -> None:
    path = tmp_path / "live" / "s.sqlite"
    with closing(opened(path)) as store:
        for number in range(1, 400):
            charge_one(store, number, answer=bytes(7000))
        assert 0 < tables(path)[0] < 399
        charge_one(store, 400, answer=bytes(100_000))
        assert tables(path)[0] == 400, "too long for the journal"
        left = crashed(path, "crashed")
    assert charged(left) == charged(path) == 40_000


def test_a_journal_that_fails_is_left_until_the_tables_have_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live" / "s.sqlite"
    with closing(opened(path)) as store:
        charge_one(store, 1)

        def refuse(_: int) -> None:
            raise OSError("input/output error")

        monkeypatch.setattr("aisa.channel.sqlite.journal._sync", refuse)
        with pytest.raises(StoreUnavailable, match="input/output"):
            charge_one(store, 2)
        monkeypatch.undo()
        charge_one(store, 2)
        assert tables(path) == (2, 200), "the doubtful record is not trusted"
        assert charged(crashed(path, "after")) == 200
        charge_one(store, 3)
        assert tables(path) == (2, 200), "and then the journal is used again"
    assert charged(path) == 300


def test_a_fold_that_fails_loses_nothing_and_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "live" / "s.sqlite"
    with closing(opened(path)) as store:
        for number in range(1, 250):
            charge_one(store, number, answer=bytes(2000))
        pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
        store._writer.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreUnavailable, match="full"):
            store.summary()
        with pytest.raises(StoreUnavailable, match="full"):
            charge_one(store, 250)
        assert charged(crashed(path, "crashed")) == 24_900
        store._writer.execute("PRAGMA max_page_count=100000")
        charge_one(store, 250)
        assert tables(path) == (250, 25_000)


def test_a_journal_of_another_file_is_not_read(tmp_path: Path) -> None:
    path, other = tmp_path / "live" / "s.sqlite", tmp_path / "other" / "s.sqlite"
    with closing(opened(path)) as store, closing(opened(other)) as second:
        charge_one(store, 1)
        charge_one(second, 1)
        left = crashed(path, "crashed")
        shutil.copy(other.with_name("s.sqlite.journal"), left.with_name("s.sqlite.journal"))
        assert charged(left) == 0
