"""Backup, restore and offline verification of a SQLite ledger file."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from aisa.errors import LedgerCorrupt, NotFound, StateConflict
from aisa.ledger import verify
from aisa.ledger.owner import FileOwner
from aisa.ledger.sqlite_archive import open_archive
from aisa.ledger.sqlite_schema import connect
from aisa.ledger.store import Progress, VerifyReport


def verify_file(path: Path, progress: Progress | None = None) -> VerifyReport:
    """Verify a ledger file as of now, whether or not a node is writing to it.

    Raises:
        NotFound: there is no file at `path`.
        LedgerCorrupt: it cannot be read as a ledger at all.
    """
    _require(path)
    try:
        with open_archive(path) as archive:
            return verify.verify(archive, progress)
    except sqlite3.DatabaseError as error:
        raise LedgerCorrupt(f"{path} cannot be read as a ledger: {error}") from error


def digest_file(path: Path) -> str:
    """Return the digest of a ledger file as of now.

    Raises:
        NotFound: there is no file at `path`.
        LedgerCorrupt: it cannot be read as a ledger at all.
    """
    _require(path)
    try:
        with open_archive(path) as archive:
            return verify.digest(archive)
    except sqlite3.DatabaseError as error:
        raise LedgerCorrupt(f"{path} cannot be read as a ledger: {error}") from error


def backup_file(path: Path, target: Path) -> None:
    """Copy a ledger file as of now to `target`; a half-written copy never bears that name.

    Raises:
        NotFound: there is no file at `path`.
        StateConflict: there is something at `target`.
    """
    _require(path)
    _refuse_existing(target)
    part = _part(target)
    _copy(path, part)
    _name(part, target)


def restore(backup_path: Path, target_path: Path, progress: Progress | None = None) -> VerifyReport:
    """Copy a backup to where a node will find it, after verifying the copy.

    Raises:
        NotFound: there is no file at `backup_path`.
        StateConflict: there is a ledger at `target_path`; nothing is overwritten.
        FileOwned: a node is using `target_path`.
        LedgerCorrupt: the backup does not verify; the facts name the first bad row.
    """
    _require(backup_path)
    _refuse_existing(target_path)
    owner = FileOwner(target_path)
    try:
        part = _part(target_path)
        try:
            _copy(backup_path, part)
        except sqlite3.DatabaseError as error:
            raise LedgerCorrupt(f"{backup_path} cannot be read: {error}") from error
        report = verify_file(part, progress)
        if report.bad is not None:
            bad = report.bad
            raise LedgerCorrupt(
                f"the backup does not verify: {bad}", table=bad.table, id=bad.id, what=bad.what
            )
        _name(part, target_path)
    finally:
        owner.release()
    return report


def _copy(path: Path, part: Path) -> None:
    with closing(connect(path, readonly=True)) as source, closing(sqlite3.connect(part)) as copy:
        source.backup(copy)
        # The copy is one file: no log beside it that could be left behind.
        copy.execute("PRAGMA journal_mode = DELETE")


def _name(part: Path, target: Path) -> None:
    with part.open("rb") as copy:
        os.fsync(copy.fileno())
    # A link, unlike a rename, refuses to take the place of what has come meanwhile.
    try:
        target.hardlink_to(part)
    except FileExistsError as error:
        raise StateConflict(f"there is something at {target} already") from error
    finally:
        part.unlink()
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _part(target: Path) -> Path:
    part = target.with_name(f"{target.name}.part")
    for leftover in (part, Path(f"{part}-wal"), Path(f"{part}-shm"), Path(f"{part}-journal")):
        leftover.unlink(missing_ok=True)
    part.touch(0o600)
    return part


def _require(path: Path) -> None:
    if not path.is_file():
        raise NotFound(f"there is no ledger at {path}")


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise StateConflict(
            f"there is something at {path} already", hint="choose another path, or move it away"
        )
