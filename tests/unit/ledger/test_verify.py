"""Verification names the row that somebody changed by hand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aisa.ledger import (
    Command,
    Floor,
    Hold,
    OpenAccount,
    PostHold,
    PutRecord,
    Status,
    Transfer,
    VerifyReport,
    VoidHold,
    chain,
)
from aisa.ledger.row import AccountRow, RecordRow, TransferRow
from aisa.ledger.sqlite_archive import open_archive
from aisa.ledger.sqlite_backup import verify_file
from aisa.ledger.sqlite_schema import connect, migrate
from aisa.ledger.sqlite_writer import SqliteWriter
from aisa.ledger.verify import digest

NET, ANN, BOB = "network:test:T", "account:ann:aiUSD", "account:bob:aiUSD"


def move(own_id: str, debit: str, credit: str, units: int) -> Transfer:
    return Transfer(own_id, debit, credit, units, "aiUSD", "test")


def hold(own_id: str, expires_at_ms: int | None = None) -> Hold:
    return Hold(own_id, ANN, BOB, 5, "aiUSD", "test", expires_at_ms)


STEPS: list[tuple[int, list[Command]]] = [
    (
        1_000,
        [
            (OpenAccount(NET, "aiUSD", Floor.NONE), OpenAccount(ANN, "aiUSD", Floor.NOT_NEGATIVE)),
            (OpenAccount(BOB, "aiUSD", Floor.NOT_NEGATIVE),),
            (move("fund", NET, ANN, 100),),
        ],
    ),
    (2_000, [(move("a", ANN, BOB, 7), PutRecord("k", "r", 0, b"1")), (hold("h1"),)]),
    (3_000, [(hold("h2", 4_000), hold("h3"), hold("h4")), (PutRecord("k", "r", 1, b"2"),)]),
    (4_000, [(PostHold("p", "h1", 3),), (VoidHold("v", "h3"),), (move("b", BOB, ANN, 1),)]),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    now = [0]
    with closing(connect(path)) as connection:
        migrate(connection, 1)
        writer = SqliteWriter(connection, lambda: now[0])
        for now[0], commands in STEPS:
            outcomes = writer.commit(commands)
            assert [one.status for one in outcomes] == [Status.APPLIED] * len(commands)
    return path


def tamper(path: Path, *statements: str) -> VerifyReport:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, "nothing was changed"
        connection.commit()
    return verify_file(path)


def test_an_untouched_ledger_verifies(path: Path) -> None:
    report = verify_file(path)
    assert report.ok, report.bad
    assert (report.batches, report.rows) == (4, 15)


@pytest.mark.parametrize(
    ("statement", "table", "key"),
    [
        ("UPDATE account SET floor = 1 WHERE name LIKE '%bob%'", "account", BOB),
        ("UPDATE account SET currency = 'EUR' WHERE name LIKE '%ann%'", "account", ANN),
        ("UPDATE account SET linked = 0 WHERE seq = 1", "account", NET),
        ("UPDATE account SET at_ms = 999 WHERE seq = 3", "account", BOB),
        ("UPDATE transfer SET units = 8 WHERE id = 'a'", "transfer", "a"),
        ("UPDATE transfer SET units = 8.5 WHERE id = 'a'", "transfer", "a"),
        ("UPDATE transfer SET units = 'many' WHERE id = 'a'", "transfer", "a"),
        ("UPDATE transfer SET debit = 99 WHERE id = 'b'", "transfer", "b"),
        ("UPDATE transfer SET credit = 3 WHERE id = 'fund'", "transfer", "fund"),
        ("UPDATE transfer SET id = 'c' WHERE id = 'b'", "transfer", "c"),
        ("UPDATE transfer SET code = 'x' WHERE id = 'h1'", "transfer", "h1"),
        ("UPDATE transfer SET reference = 'x' WHERE id = 'h1'", "transfer", "h1"),
        ("UPDATE transfer SET reference = CAST(x'ff' AS TEXT) WHERE id = 'h1'", "transfer", "h1"),
        ("UPDATE transfer SET kind = 3 WHERE id = 'p'", "transfer", "p"),
        ("UPDATE transfer SET hold = 8 WHERE id = 'v'", "transfer", "v"),
        ("UPDATE transfer SET expires_at_ms = 9000 WHERE id = 'h4'", "transfer", "h4"),
        ("UPDATE transfer SET at_ms = 1999 WHERE id = 'a'", "transfer", "a"),
        ("UPDATE transfer SET seq = 99 WHERE id = 'b'", "row", "15"),
        ("DELETE FROM transfer WHERE id = 'a'", "row", "5"),
        ("DELETE FROM transfer WHERE id = 'b'", "row", "15"),
        ("DELETE FROM account WHERE seq = 1", "row", "1"),
        ("UPDATE record SET body = x'39' WHERE version = 1", "record", "k/r/1"),
        ("UPDATE record SET id = 's' WHERE version = 2", "record", "k/s/2"),
        ("DELETE FROM record WHERE version = 2", "row", "11"),
        ("UPDATE batch SET at_ms = 2001 WHERE number = 2", "batch", "2"),
        ("UPDATE batch SET rows_hash = zeroblob(32) WHERE number = 2", "batch", "2"),
        ("UPDATE batch SET marks = zeroblob(12) WHERE number = 2", "batch", "2"),
        ("UPDATE batch SET hash = zeroblob(32) WHERE number = 3", "batch", "3"),
        ("UPDATE batch SET last = 6 WHERE number = 2", "batch", "2"),
        ("UPDATE batch SET number = 9 WHERE number = 4", "batch", "4"),
        ("DELETE FROM batch WHERE number = 2", "batch", "2"),
        ("DELETE FROM batch WHERE number = 4", "transfer", "expire:h2"),
        ("UPDATE balance SET credits_posted = 102 WHERE account = 2", "balance", ANN),
        ("UPDATE balance SET debits_pending = 0 WHERE account = 2", "balance", ANN),
        ("DELETE FROM balance WHERE account = 2", "balance", ANN),
        ("INSERT INTO balance VALUES (77, 0, 0, 0, 0)", "balance", "77"),
        ("UPDATE hold SET status = 0, resolved_seq = NULL WHERE seq = 7", "hold", "h1"),
        ("UPDATE hold SET posted_units = 5 WHERE seq = 7", "hold", "h1"),
        ("UPDATE hold SET status = 1 WHERE seq = 10", "hold", "h4"),
        ("UPDATE hold SET expires_at_ms = 1 WHERE seq = 10", "hold", "h4"),
        ("DELETE FROM hold WHERE seq = 8", "hold", "h2"),
        ("DELETE FROM hold WHERE seq = 10", "hold", "h4"),
        ("INSERT INTO hold VALUES (77, 0, 0, NULL, NULL)", "hold", ""),
        ("UPDATE record_head SET version = 1", "record_head", "k/r"),
        ("UPDATE record_head SET seq = 6", "record_head", "k/r"),
        ("DELETE FROM record_head", "record_head", "k/r"),
        ("INSERT INTO record_head VALUES ('k', 's', 1, 6)", "record_head", "k/s"),
        ("DELETE FROM migration WHERE version = 2", "migration", ""),
        (
            "INSERT INTO transfer VALUES (16, 0, 'z', 0, 2, 3, 1, 'x', '', NULL, NULL, 4000)",
            "transfer",
            "z",
        ),
        (
            "INSERT INTO transfer VALUES (11, 0, 'z', 0, 2, 3, 1, 'x', '', NULL, NULL, 3000)",
            "record",
            "k/r/2",
        ),
        ("INSERT INTO account VALUES (16, 0, 'z', 'aiUSD', 0, 4000)", "account", "z"),
        ("INSERT INTO record VALUES (-1, 0, 'k', 'z', 1, x'', 4000)", "record", "z"),
    ],
)
def test_a_changed_row_is_named(path: Path, statement: str, table: str, key: str) -> None:
    report = tamper(path, statement)
    assert report.bad is not None
    assert (report.bad.table, report.bad.id) == (table, key), report.bad


def rechain(path: Path) -> None:
    """What someone would do who knows the chain: hash everything again."""
    kinds = (("account", AccountRow), ("transfer", TransferRow), ("record", RecordRow))
    with closing(sqlite3.connect(path)) as connection:
        previous = chain.GENESIS
        batches = connection.execute("SELECT number, first, last, at_ms FROM batch").fetchall()
        for number, first, last, at_ms in batches:
            rows: list[AccountRow | TransferRow | RecordRow] = []
            for table, kind in kinds:
                found = connection.execute(
                    f"SELECT * FROM {table} WHERE seq BETWEEN ? AND ?", (first, last)
                )
                rows += map(kind._make, found)
            link = chain.link(number, previous, at_ms, sorted(rows))
            previous = link.hash
            connection.execute(
                "UPDATE batch SET rows_hash = ?, marks = ?, hash = ? WHERE number = ?",
                (link.rows_hash, link.marks, link.hash, number),
            )
        connection.commit()


@pytest.mark.parametrize(
    ("statement", "key", "what"),
    [
        ("UPDATE transfer SET units = 101 WHERE id = 'a'", "a", "BELOW_FLOOR"),
        ("UPDATE transfer SET units = 0 WHERE id = 'a'", "a", "UNITS_OUT_OF_RANGE"),
        ("UPDATE transfer SET credit = debit WHERE id = 'a'", "a", "SAME_ACCOUNT"),
        ("UPDATE transfer SET credit = 77 WHERE id = 'a'", "a", "not there"),
        ("UPDATE transfer SET kind = 9 WHERE id = 'a'", "a", "not there"),
        ("UPDATE transfer SET hold = 1 WHERE id = 'p'", "p", "not there"),
        ("UPDATE transfer SET units = 6 WHERE id = 'p'", "p", "UNITS_ABOVE_HOLD"),
        ("UPDATE transfer SET kind = 4 WHERE id = 'v'", "v", "rules"),
        ("UPDATE transfer SET at_ms = 1 WHERE id = 'b'", "b", "rules"),
        ("UPDATE transfer SET id = 'expire:h4' WHERE id = 'expire:h2'", "expire:h4", "rules"),
        ("UPDATE record SET version = 3 WHERE version = 2", "k/r/3", "RECORD_CHANGED"),
        ("UPDATE account SET floor = 7 WHERE seq = 3", BOB, "not there"),
    ],
)
def test_a_rule_broken_under_a_rehashed_chain_is_named(
    path: Path, statement: str, key: str, what: str
) -> None:
    tamper(path, statement)
    rechain(path)
    bad = verify_file(path).bad
    assert bad is not None
    assert bad.id == key, bad
    assert what in bad.what


def test_a_smaller_transfer_under_a_rehashed_chain_shows_in_the_balances(path: Path) -> None:
    tamper(path, "UPDATE transfer SET units = 6 WHERE id = 'a'")
    rechain(path)
    bad = verify_file(path).bad
    assert bad is not None
    assert (bad.table, bad.id) == ("balance", ANN)


def test_a_rehashed_chain_has_another_head(path: Path) -> None:
    before = verify_file(path).head
    rechain(path)
    assert verify_file(path).head == before
    tamper(path, "UPDATE transfer SET code = 'other' WHERE id = 'a'")
    rechain(path)
    report = verify_file(path)
    assert report.ok, "nothing but the head can tell"
    assert report.head != before


def test_a_damaged_page_is_reported(path: Path) -> None:
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'transfer_debit'")
    report = verify_file(path)
    assert report.bad is not None
    assert report.bad.table == "file"


def test_a_changed_row_changes_the_digest(path: Path) -> None:
    with open_archive(path) as archive:
        before = digest(archive)
    tamper(path, "UPDATE transfer SET reference = 'x' WHERE id = 'b'")
    with open_archive(path) as archive:
        assert digest(archive) != before
