"""One connection to the wallet file, and its transactions."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aisa.channel.wallet_sqlite.schema import SCHEMA, STEPS, VERSION
from aisa.errors import ConfigInvalid, StateConflict

BUSY_TIMEOUT_S: Final = 15.0


class Database:
    """A connection that one thread at a time uses; every write is one durable transaction."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its side files the mode of the main one, so that one is made first.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        self._connection.row_factory = sqlite3.Row
        try:
            with alone(path):
                self._prepare(path)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, path: Path) -> None:
        run = self._connection.execute
        try:
            run("PRAGMA journal_mode = WAL").fetchone()
            run("PRAGMA synchronous = FULL")
            version = run("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
                )
            elif version < VERSION:
                steps = "".join(STEPS[version:VERSION])
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;"
                )
            elif version != VERSION:
                raise ConfigInvalid(
                    f"{path} has wallet format {version}, this version reads {VERSION}",
                    hint="use the version of aisa that wrote it",
                )
        except sqlite3.DatabaseError as error:
            raise ConfigInvalid(f"{path} is not a wallet file: {error}") from error

    @contextmanager
    def write(self) -> Generator[sqlite3.Connection]:
        """Run the block as one transaction that waits for other processes, then commits to disk.

        Raises:
            StateConflict: another process kept the file for 15 seconds, or this one has closed it.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                raise StateConflict(
                    f"the wallet file is busy: {error}", hint="another process holds it too long"
                ) from error
            except sqlite3.ProgrammingError as error:
                raise StateConflict("the wallet is closed") from error
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """Run the block on one consistent view.

        Raises:
            StateConflict: the wallet is closed.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN")
            except sqlite3.ProgrammingError as error:
                raise StateConflict("the wallet is closed") from error
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


@contextmanager
def alone(path: Path) -> Generator[None]:
    """Keep other processes that open the wallet waiting."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
