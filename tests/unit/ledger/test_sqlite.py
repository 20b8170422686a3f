"""What is SQLite's own affair: the file, its owner, its schema, a full disk."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from aisa.errors import ConfigInvalid, FileOwned, Internal, LedgerCorrupt, LedgerStopped
from aisa.ledger import (
    Command,
    Floor,
    Hold,
    OpenAccount,
    PostHold,
    PutRecord,
    Status,
    Transfer,
    require_applied,
)
from aisa.ledger.owner import FileOwner
from aisa.ledger.sqlite import SqliteStore
from aisa.ledger.sqlite_archive import open_archive
from aisa.ledger.sqlite_schema import MIGRATIONS, Migration, connect, migrate, version
from aisa.ledger.sqlite_writer import SqliteWriter
from aisa.ledger.verify import digest, verify

NET, ANN = "network:test:T", "account:ann:aiUSD"


def now_ms() -> int:
    return 1_000


def fund(own_id: str, units: int = 1) -> Command:
    return (Transfer(own_id, NET, ANN, units, "aiUSD", "test"),)


OPENED: Command = (
    OpenAccount(NET, "aiUSD", Floor.NONE),
    OpenAccount(ANN, "aiUSD", Floor.NOT_NEGATIVE),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with await SqliteStore.open(path, clock=now_ms) as store:
        require_applied(await store.post(OPENED))
        yield store


async def test_a_second_owner_is_refused_and_told_what_to_do(
    store: SqliteStore, path: Path
) -> None:
    with pytest.raises(FileOwned, match="stop that node, or give this one"):
        await SqliteStore.open(path, clock=now_ms)
    assert await store.post(fund("t")) is not None


def test_the_owner_is_another_process_and_named(path: Path) -> None:
    code = f"""
from pathlib import Path
from aisa.ledger.owner import FileOwner
owner = FileOwner(Path({str(path)!r}))
print("owned", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        with pytest.raises(FileOwned, match=f"process {process.pid}"):
            FileOwner(path)
        process.kill()
        process.wait()
    FileOwner(path).release()


async def test_every_commit_is_durable(store: SqliteStore, path: Path) -> None:
    with closing(connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


async def test_a_file_of_a_newer_version_is_refused_and_free_again(path: Path) -> None:
    with closing(connect(path)) as connection:
        migrate(connection, 1)
        connection.execute("INSERT INTO migration VALUES (99, 'from the future', 1)")
    for _ in range(2):
        with pytest.raises(ConfigInvalid, match="schema version 99"):
            await SqliteStore.open(path, clock=now_ms)


async def test_an_old_file_is_migrated_and_goes_on(path: Path) -> None:
    with closing(connect(path)) as connection:
        migrate(connection, 1, MIGRATIONS[:1])
        assert version(connection) == 1
        before: list[Command] = [OPENED, fund("old", 5), (PutRecord("k", "r", 0, b"old"),)]
        writer = SqliteWriter(connection, now_ms)
        assert all(one.status is Status.APPLIED for one in writer.commit(before))
    with open_archive(path) as archive:
        old_digest = digest(archive)
    async with await SqliteStore.open(path, clock=now_ms) as store:
        assert await store.digest() == old_digest
        assert (await store.post(fund("old", 5))).status is Status.REPEATED
        assert (await store.balance(ANN)).units == 5
        require_applied(await store.post(fund("new")))
        assert (await store.verify()).ok
    with closing(connect(path)) as connection:
        assert version(connection) == MIGRATIONS[-1].version


def test_a_migration_applies_whole_or_not(path: Path) -> None:
    broken = Migration(
        MIGRATIONS[-1].version + 1, "broken", ("CREATE TABLE extra (a)", "CREATE TABLE account (a)")
    )
    with closing(connect(path)) as connection, pytest.raises(sqlite3.OperationalError):
        migrate(connection, 1, (*MIGRATIONS, broken))
    with closing(connect(path)) as connection:
        assert version(connection) == MIGRATIONS[-1].version
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'extra'")
        assert tables.fetchall() == []


async def test_a_full_disk_fails_all_waiters_and_stops_the_store(path: Path) -> None:
    store = await SqliteStore.open(path, clock=now_ms)
    require_applied(await store.post(OPENED))
    require_applied(await store.post(fund("before")))
    connection = store._connection
    connection.execute("PRAGMA max_page_count = 1")
    posts = [store.post(fund(f"t{number}")) for number in range(2_000)]
    results = await asyncio.gather(*posts, return_exceptions=True)
    assert {type(result) for result in results} == {LedgerStopped}
    assert "full" in str(results[0])
    with pytest.raises(LedgerStopped, match="repeat what was not answered"):
        await store.post(fund("after"))
    assert (await store.balance(ANN)).units == 1
    await store.close()
    async with await SqliteStore.open(path, clock=now_ms) as again:
        assert (await again.post(fund("before"))).status is Status.REPEATED
        assert (await again.post(fund("t0"))).status is Status.APPLIED
        assert (await again.verify()).ok


async def test_a_batch_of_thousands_of_rows(store: SqliteStore) -> None:
    command = [Transfer(f"t{number}", NET, ANN, 1, "aiUSD", "test") for number in range(200)]
    commands = [
        tuple(Transfer(f"{one.id}-{part}", NET, ANN, 1, "aiUSD", "test") for one in command)
        for part in range(10)
    ]
    outcomes = await asyncio.gather(*map(store.post, commands))
    assert {outcome.status for outcome in outcomes} == {Status.APPLIED}
    again = await asyncio.gather(*map(store.post, commands))
    assert {outcome.status for outcome in again} == {Status.REPEATED}
    assert (await store.balance(ANN)).units == 2_000


def test_an_account_cached_or_not_is_the_same(path: Path) -> None:
    with closing(connect(path)) as connection:
        migrate(connection, 1)
        writer = SqliteWriter(connection, now_ms, accounts_max=1)
        writer.commit([OPENED])
        for number in range(3):
            hold = Hold(f"h{number}", ANN, NET, 5, "aiUSD", "test", None)
            writer.commit([fund(f"t{number}", 10), (hold,)])
            writer.commit([(PostHold(f"p{number}", f"h{number}"),)])
    with open_archive(path) as archive:
        assert verify(archive).ok
        assert ("account:ann:aiUSD", (2, 15, 30, 0, 0)) in list(archive.balances())


def test_what_is_no_ledger_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"something else entirely, not a database " * 100)
    before = path.read_bytes()
    with pytest.raises(LedgerCorrupt, match="is not a ledger"):
        asyncio.run(SqliteStore.open(path, clock=now_ms))
    assert path.read_bytes() == before
    FileOwner(path).release()


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="No such file"):
        await SqliteStore.open(tmp_path / "missing" / "ledger.sqlite", clock=now_ms)
    (tmp_path / "ledger.sqlite").mkdir()
    with pytest.raises(Internal, match="could not be opened"):
        await SqliteStore.open(tmp_path / "ledger.sqlite", clock=now_ms)


async def test_the_files_are_the_owners_alone(store: SqliteStore, path: Path) -> None:
    await store.backup(path.with_name("backup.sqlite"))
    modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.glob("*.sqlite*")}
    assert set(modes) >= {"ledger.sqlite", "ledger.sqlite-wal", "backup.sqlite"}
    assert set(modes.values()) == {0o600}


async def test_questions_to_a_closed_or_broken_store_say_so(path: Path) -> None:
    store = await SqliteStore.open(path, clock=now_ms)
    require_applied(await store.post(OPENED))
    with closing(connect(path)) as connection:
        connection.execute("DROP TABLE record_head")
    with pytest.raises(Internal, match="could not be read"):
        await store.record("k", "r")
    await store.close()
    with pytest.raises(LedgerStopped):
        await store.balance(ANN)
