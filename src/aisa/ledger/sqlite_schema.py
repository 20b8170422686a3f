"""The SQLite schema, as migrations that only go up.

`account`, `transfer` and `record` are the ledger: immutable rows that share one `seq` without gaps.
`batch` chains them. `balance`, `hold` and `record_head` are what the rows add up to, kept so that
nothing is added up again; `verify` compares them. Columns stand in the order of the tuples in `row.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aisa.errors import ConfigInvalid


@dataclass(frozen=True, slots=True)
class Migration:
    """One step up; its statements and its `migration` row commit together."""

    version: int
    name: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        1,
        "accounts, transfers, records and their chain",
        (
            """CREATE TABLE account (
                seq INTEGER PRIMARY KEY, linked INTEGER NOT NULL, name TEXT NOT NULL UNIQUE,
                currency TEXT NOT NULL, floor INTEGER NOT NULL, at_ms INTEGER NOT NULL)""",
            """CREATE TABLE transfer (
                seq INTEGER PRIMARY KEY, linked INTEGER NOT NULL, id TEXT NOT NULL UNIQUE,
                kind INTEGER NOT NULL, debit INTEGER NOT NULL, credit INTEGER NOT NULL,
                units INTEGER NOT NULL, code TEXT NOT NULL, reference TEXT NOT NULL,
                hold INTEGER, expires_at_ms INTEGER, at_ms INTEGER NOT NULL)""",
            "CREATE INDEX transfer_debit ON transfer (debit)",
            "CREATE INDEX transfer_credit ON transfer (credit)",
            """CREATE TABLE record (
                seq INTEGER PRIMARY KEY, linked INTEGER NOT NULL, kind TEXT NOT NULL,
                id TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
                at_ms INTEGER NOT NULL, UNIQUE (kind, id, version))""",
            """CREATE TABLE batch (
                number INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
                at_ms INTEGER NOT NULL, rows_hash BLOB NOT NULL, marks BLOB NOT NULL,
                hash BLOB NOT NULL)""",
            """CREATE TABLE balance (
                account INTEGER PRIMARY KEY, debits_posted INTEGER NOT NULL,
                credits_posted INTEGER NOT NULL, debits_pending INTEGER NOT NULL,
                credits_pending INTEGER NOT NULL)""",
            """CREATE TABLE hold (
                seq INTEGER PRIMARY KEY, status INTEGER NOT NULL, posted_units INTEGER NOT NULL,
                resolved_seq INTEGER, expires_at_ms INTEGER)""",
            """CREATE TABLE record_head (
                kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
                seq INTEGER NOT NULL, PRIMARY KEY (kind, id))""",
        ),
    ),
    Migration(
        2,
        "find due holds, and the batch of a time",
        (
            """CREATE INDEX hold_due ON hold (expires_at_ms, seq)
                WHERE status = 0 AND expires_at_ms IS NOT NULL""",
            "CREATE INDEX batch_time ON batch (at_ms)",
        ),
    ),
)

COLUMNS = {
    "account": 6,
    "transfer": 12,
    "record": 7,
    "batch": 7,
    "balance": 5,
    "hold": 5,
    "record_head": 4,
}


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open the file as every part of the ledger does: WAL, durable at each commit."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=30
    )
    settings = [
        "PRAGMA synchronous = FULL",
        "PRAGMA cache_size = -65536",
        "PRAGMA query_only = ON" if readonly else "PRAGMA journal_mode = WAL",
    ]
    try:
        for setting in settings:
            connection.execute(setting)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def migrate(
    connection: sqlite3.Connection, at_ms: int, migrations: Sequence[Migration] = MIGRATIONS
) -> int:
    """Bring the file up to the last migration and return its version.

    Raises:
        ConfigInvalid: the file was written by a newer version of AISA.
    """
    connection.execute(
        """CREATE TABLE IF NOT EXISTS migration (
            version INTEGER PRIMARY KEY, name TEXT NOT NULL, at_ms INTEGER NOT NULL)"""
    )
    current = version(connection)
    if current > migrations[-1].version:
        raise ConfigInvalid(
            f"the ledger has schema version {current}, this program knows {migrations[-1].version}",
            hint="install the version of aisa-node that wrote it, or a newer one",
        )
    for migration in migrations:
        if migration.version <= current:
            continue
        connection.execute("BEGIN IMMEDIATE")
        for statement in migration.statements:
            connection.execute(statement)
        row = (migration.version, migration.name, at_ms)
        connection.execute("INSERT INTO migration VALUES (?, ?, ?)", row)
        connection.execute("COMMIT")
    return migrations[-1].version


def version(connection: sqlite3.Connection) -> int:
    """Return the version of the file's schema; 0 for an empty file."""
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM migration").fetchone()[0])
