"""`aisa ledger`: read and verify a node's ledger file, also while the node runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from aisa.cli.command import Noun, Session
from aisa.cli.report import Report, Table
from aisa.errors import LedgerCorrupt, NotFound, UnknownCurrency
from aisa.ledger import Balance, Entry, EntryKind
from aisa.ledger.sqlite_backup import digest_file, verify_file
from aisa.ledger.sqlite_reader import SqliteReader
from aisa.ledger.sqlite_schema import connect
from aisa.money import currency_by_code, format_units

_file_option = click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The ledger file (default: node/ledger.sqlite in the home).",
)


@click.group("ledger", cls=Noun)
def command() -> None:
    """Read and verify a node's ledger."""


@command.command("verify")
@_file_option
@click.option(
    "--reserves",
    is_flag=True,
    help="Also ask the node and the chain: accounts = tokens held, supply = recorded mints.",
)
@click.pass_obj
def verify(session: Session, file: Path | None, reserves: bool) -> Report:
    """Add everything up again and name the first bad row, if there is one."""
    path = _path(session, file)
    with session.progress() as progress:
        report = verify_file(path, lambda done, total: progress.count("rows checked", done, total))
        if report.bad is not None:
            bad = report.bad
            raise LedgerCorrupt(
                f"{path}: {bad}",
                hint="stop the node and restore a backup: aisa node restore",
                table=bad.table,
                id=bad.id,
                what=bad.what,
            )
        progress("hashing all rows")
        digest = digest_file(path)
    document: dict[str, object] = {
        "ok": True,
        "batches": report.batches,
        "rows": report.rows,
        "head": report.head,
        "digest": digest,
    }
    lines: list[str | Table] = [
        f"{path} verifies: {report.rows:,} rows in {report.batches:,} batches",
        f"head   {report.head}",
        f"digest {digest}",
    ]
    if reserves:
        from aisa.cli.reserves import check_reserves

        found = check_reserves(session.home)
        document["reserves"] = [one.document() for one in found]
        lines += [one.sentence() for one in found]
    return Report(document, lines)


@command.command("digest")
@_file_option
@click.pass_obj
def digest(session: Session, file: Path | None) -> Report:
    """Print the hash of all rows: equal for equal contents, whatever the batches were."""
    with session.progress() as progress:
        progress("hashing all rows")
        found = digest_file(_path(session, file))
    return Report({"digest": found}, [found])


@command.command("balance")
@click.argument("account")
@click.option(
    "--at",
    "at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    help="As of then (UTC) instead of now.",
)
@_file_option
@click.pass_obj
def balance(session: Session, account: str, at: datetime | None, file: Path | None) -> Report:
    """Print what ACCOUNT holds; a beginning such as `fee:` lists every account that has it."""
    at_ms = None if at is None else int(at.replace(tzinfo=UTC).timestamp() * 1000)
    with _reader(_path(session, file)) as reader:
        names = [(one.name, one.currency) for one in reader.accounts(account, "", 1000)]
        if not names:
            raise NotFound(
                f"the ledger has no account {account!r}", hint="aisa ledger balance account:"
            )
        found = [
            (
                name,
                currency,
                reader.balance(name) if at_ms is None else reader.balance_at(name, at_ms),
            )
            for name, currency in names
        ]
    return Report(
        {"at_ms": at_ms, "accounts": [_balance(*one) for one in found]},
        [
            Table(
                ["account", "balance>", "available>"],
                [
                    [name, _text(held.units, currency), _text(held.available, currency)]
                    for name, currency, held in found
                ],
            )
        ],
    )


@command.command("history")
@click.argument("account")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option(
    "--before", type=click.IntRange(1), metavar="SEQ", help="Only entries before this one."
)
@_file_option
@click.pass_obj
def history(
    session: Session, account: str, limit: int, before: int | None, file: Path | None
) -> Report:
    """List what moved in ACCOUNT, the newest first."""
    with _reader(_path(session, file)) as reader:
        if reader.account(account) is None:
            raise NotFound(
                f"the ledger has no account {account!r}", hint="aisa ledger balance account:"
            )
        entries = reader.history(account, before, limit)
    rows = [
        [
            str(one.seq),
            datetime.fromtimestamp(one.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            one.code if one.kind is EntryKind.TRANSFER else f"{one.code} {one.kind.name.lower()}",
            ("+" if one.credit == account else "-") + _text(one.units, one.currency),
            one.debit if one.credit == account else one.credit,
            one.id,
        ]
        for one in entries
    ]
    return Report(
        {"account": account, "entries": [_entry(one) for one in entries]},
        [Table(["seq>", "time (UTC)", "what", "amount>", "with", "id"], rows)],
    )


def _path(session: Session, file: Path | None) -> Path:
    return file or session.home / "node" / "ledger.sqlite"


@contextmanager
def _reader(path: Path) -> Generator[SqliteReader]:
    if not path.is_file():
        raise NotFound(f"there is no ledger at {path}", hint="aisa node init")
    try:
        with closing(SqliteReader(connect(path, readonly=True))) as reader:
            yield reader
    except sqlite3.DatabaseError as error:
        raise LedgerCorrupt(f"{path} cannot be read as a ledger: {error}") from error


def _balance(name: str, currency: str, held: Balance) -> dict[str, object]:
    return {
        "account": name,
        "currency": currency,
        "units": str(held.units),
        "available": str(held.available),
    }


def _entry(one: Entry) -> dict[str, object]:
    return {
        "seq": one.seq,
        "id": one.id,
        "kind": one.kind.name.lower(),
        "debit": one.debit,
        "credit": one.credit,
        "units": str(one.units),
        "currency": one.currency,
        "code": one.code,
        "reference": one.reference,
        "hold": one.hold,
        "at_ms": one.at_ms,
    }


def _text(units: int, code: str) -> str:
    try:
        return f"{format_units(units, currency_by_code(code).scale)} {code}"
    except UnknownCurrency:
        return f"{units} units of {code}"
