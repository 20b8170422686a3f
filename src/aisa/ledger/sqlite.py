"""The embedded ledger: one SQLite file, owned by one process."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from aisa.errors import Internal, LedgerCorrupt, LedgerStopped
from aisa.ledger.account import Account, Balance
from aisa.ledger.group import GroupCommit
from aisa.ledger.outcome import Command, Outcome
from aisa.ledger.owner import FileOwner
from aisa.ledger.record import Record
from aisa.ledger.sqlite_backup import backup_file, digest_file, verify_file
from aisa.ledger.sqlite_reader import SqliteReader
from aisa.ledger.sqlite_schema import connect, migrate
from aisa.ledger.sqlite_writer import SqliteWriter
from aisa.ledger.store import Clock, Progress, VerifyReport
from aisa.ledger.transfer import Entry, HoldState


class SqliteStore:
    """A `Store` in one file (and its `-wal`, `-shm`, `.lock`); use it as an async context manager.

    Commits run in a thread of their own. Point questions and pages are answered on the loop, from a
    connection that never waits for the writer; what reads the whole file runs in a thread with a
    snapshot.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        owner: FileOwner,
        connection: sqlite3.Connection,
    ) -> None:
        self._path = path
        self._clock = clock
        self._owner = owner
        self._connection = connection
        self._reader = SqliteReader(connect(path, readonly=True))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aisa-ledger")
        self._group = GroupCommit(SqliteWriter(connection, clock).commit, self._thread)
        self._closed = False

    @classmethod
    async def open(cls, path: Path, *, clock: Clock) -> SqliteStore:
        """Open the ledger at `path`, made and migrated as needed; its folder must exist.

        Raises:
            FileOwned: another process uses it.
            ConfigInvalid: a newer version of AISA wrote it, or nothing can be written there.
            LedgerCorrupt: what is at `path` is not a ledger.
            Internal: the disk refuses.
        """
        owner = FileOwner(path)
        try:
            connection = await asyncio.to_thread(_open_migrated, path, clock())
            return cls(path, clock, owner, connection)
        except BaseException:
            owner.release()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def _read(self) -> SqliteReader:
        if self._closed:
            raise LedgerStopped("the ledger is closed")
        return self._reader

    async def post(self, command: Command) -> Outcome:
        """Decide a command and return its outcome once that is durable."""
        return await self._group.post(command)

    async def expire(self) -> int:
        """Release holds that are due and return how many; every post does so too."""
        due = self._read.due(self._clock())
        if due:
            # A command of nothing decides nothing, but its batch begins by releasing what is due.
            await self._group.post(())
        return due

    async def balance(self, account: str, at_ms: int | None = None) -> Balance:
        """Return an account's sums, now or after the last batch not later than `at_ms`."""
        if at_ms is None:
            return self._read.balance(account)
        return await asyncio.to_thread(_balance_at, self._path, account, at_ms)

    async def total(self, prefix: str, currency: str) -> Balance:
        """Return the sums of all accounts of a currency whose names begin with `prefix`."""
        return await asyncio.to_thread(_total, self._path, prefix, currency)

    async def account(self, account: str) -> Account | None:
        """Return an open account."""
        return self._read.account(account)

    async def accounts(self, prefix: str = "", after: str = "", limit: int = 100) -> list[Account]:
        """Return accounts by name, those after `after`."""
        return self._read.accounts(prefix, after, limit)

    async def transfer(self, id: str) -> Entry | None:  # noqa: A002 - the ledger's word
        """Return the entry with that id."""
        return self._read.transfer(id)

    async def history(
        self, account: str, before: int | None = None, limit: int = 100
    ) -> list[Entry]:
        """Return an account's entries, newest first."""
        return self._read.history(account, before, limit)

    async def hold(self, id: str) -> HoldState | None:  # noqa: A002 - the ledger's word
        """Return the hold with that id and where it stands."""
        return self._read.hold(id)

    async def record(self, kind: str, id: str) -> Record | None:  # noqa: A002 - the ledger's word
        """Return the current version of a record."""
        return self._read.record(kind, id)

    async def records(self, kind: str, after: str = "", limit: int = 100) -> list[Record]:
        """Return the current versions of a kind's records by id, those after `after`."""
        return self._read.records(kind, after, limit)

    async def digest(self) -> str:
        """Return the hash of all rows in canonical order."""
        return await asyncio.to_thread(digest_file, self._path)

    async def verify(self, progress: Progress | None = None) -> VerifyReport:
        """Fold everything again and compare it with all that is stored."""
        return await asyncio.to_thread(verify_file, self._path, progress)

    async def backup(self, path: Path) -> None:
        """Write a copy as of now to `path`, which must not exist, while posts go on."""
        await asyncio.to_thread(backup_file, self._path, path)

    async def close(self) -> None:
        """Commit what is waiting and let go of the files; closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        await self._group.close()
        self._thread.shutdown()
        self._reader.close()
        self._connection.close()
        self._owner.release()


def _open_migrated(path: Path, at_ms: int) -> sqlite3.Connection:
    try:
        path.touch(0o600)
        connection = connect(path)
        try:
            migrate(connection, at_ms)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.OperationalError) as error:
        raise Internal(f"the ledger at {path} could not be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise LedgerCorrupt(f"what is at {path} is not a ledger: {error}") from error
    return connection


def _balance_at(path: Path, account: str, at_ms: int) -> Balance:
    with closing(SqliteReader(connect(path, readonly=True))) as reader:
        return reader.balance_at(account, at_ms)


def _total(path: Path, prefix: str, currency: str) -> Balance:
    with closing(SqliteReader(connect(path, readonly=True))) as reader:
        return reader.total(prefix, currency)
