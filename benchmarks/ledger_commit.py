"""Ledger commits, batches of 1,000, against a bare SQLite insert of the same columns and indexes.

Ours is the whole writer: the rules, the look-up of ids, balances, the hash chain, the commit. The
bare side is `executemany` into a table like `transfer`, from tuples that are ready, with the same
settings and one commit for each 1,000 rows. Both start from an empty file in every round, and the
order of the two is swapped from round to round.
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

from aisa.ledger import Command, Floor, OpenAccount, Status, Transfer
from aisa.ledger.sqlite_schema import connect, migrate
from aisa.ledger.sqlite_writer import SqliteWriter

BATCH = 1_000
BATCHES = 40
ACCOUNTS = 1_000
_NOW_MS = 1_790_000_000_000
_INSERT = "INSERT INTO transfer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def measure(rounds: int) -> list[tuple[float, float]]:
    """Return a pair for each round: transfers a second by the ledger, rows a second by SQLite."""
    transfers = _transfers()
    samples: list[tuple[float, float]] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="aisa-bench-") as folder:
            if number % 2:
                bare = _bare(Path(folder), transfers)
                ours = _ours(Path(folder), transfers)
            else:
                ours = _ours(Path(folder), transfers)
                bare = _bare(Path(folder), transfers)
        samples.append((ours, bare))
    return samples


def _transfers() -> list[Transfer]:
    """Make transfers between a thousand customers, with ids as hashes of outside events are."""
    names = [f"account:{_hex('account', number)}:aiUSD" for number in range(ACCOUNTS)]
    made: list[Transfer] = []
    for number in range(BATCH * BATCHES):
        debit = int(_hex("debit", number)[:8], 16) % ACCOUNTS
        credit = (debit + 1 + int(_hex("credit", number)[:8], 16) % (ACCOUNTS - 1)) % ACCOUNTS
        name = f"tr_{_hex('id', number)[:32]}"
        made.append(Transfer(name, names[debit], names[credit], 100 + number, "aiUSD", "redeem"))
    return made


def _hex(kind: str, number: int) -> str:
    return hashlib.sha256(f"{kind}/{number}".encode()).hexdigest()


def _ours(folder: Path, transfers: Sequence[Transfer]) -> float:
    with closing(connect(folder / "ours.sqlite")) as connection:
        migrate(connection, _NOW_MS)
        writer = SqliteWriter(connection, lambda: _NOW_MS)
        names = sorted({transfer.debit for transfer in transfers} | {t.credit for t in transfers})
        opened: list[Command] = [(OpenAccount(name, "aiUSD", Floor.NONE),) for name in names]
        writer.commit(opened)
        commands: list[Command] = [(transfer,) for transfer in transfers]
        start = time.perf_counter()
        for at in range(0, len(commands), BATCH):
            outcomes = writer.commit(commands[at : at + BATCH])
            if any(outcome.status is not Status.APPLIED for outcome in outcomes):
                raise RuntimeError("a transfer was not applied")
        return len(commands) / (time.perf_counter() - start)


def _bare(folder: Path, transfers: Sequence[Transfer]) -> float:
    rows = _rows(transfers)
    with closing(connect(folder / "bare.sqlite")) as connection:
        _bare_schema(connection)
        start = time.perf_counter()
        for at in range(0, len(rows), BATCH):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, rows[at : at + BATCH])
            connection.execute("COMMIT")
        return len(rows) / (time.perf_counter() - start)


def _rows(transfers: Sequence[Transfer]) -> list[tuple[object, ...]]:
    seqs: dict[str, int] = {}
    rows: list[tuple[object, ...]] = []
    for number, one in enumerate(transfers, start=ACCOUNTS + 1):
        debit = seqs.setdefault(one.debit, len(seqs) + 1)
        credit = seqs.setdefault(one.credit, len(seqs) + 1)
        sides = (0, debit, credit, one.units)
        rows.append((number, 0, one.id, *sides, one.code, "", None, None, _NOW_MS))
    return rows


def _bare_schema(connection: sqlite3.Connection) -> None:
    """Make the ledger's own `transfer` table and indexes, without the other tables."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as ledger:
        migrate(ledger, _NOW_MS)
        sql = "SELECT sql FROM sqlite_master WHERE tbl_name = 'transfer' AND sql IS NOT NULL"
        for (statement,) in ledger.execute(sql):
            connection.execute(statement)


def main() -> None:
    """Print the pairs and the median of their ratios."""
    samples = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
    for ours, bare in samples:
        sys.stdout.write(f"{ours:10,.0f} transfers/s {bare:10,.0f} rows/s {ours / bare:6.2f}\n")
    sys.stdout.write(f"median ratio {median(ours / bare for ours, bare in samples):.2f}\n")


if __name__ == "__main__":
    main()
