"""Calls, receipts and events in the wallet file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

from aisa.channel.wallet import (
    CallState,
    UnknownSpend,
    WalletCall,
    WalletEvent,
    WalletReceipt,
)
from aisa.channel.wallet_sqlite.row import call_of, receipt_row
from aisa.errors import IdempotencyMismatch, StateConflict

TEXT_CHARS_MAX: Final = 2048
_ROWS: Final = 16
_ROW: Final = ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_ONE: Final = (
    "INSERT OR IGNORE INTO receipts (channel, lane, seq, units, request, status, answer, mac, method,"
    " url, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_ROWS: Final = _INSERT_ONE + _ROW * (_ROWS - 1)


def find_call(db: sqlite3.Connection, call_id: str) -> WalletCall | None:
    """Return a call by its id."""
    row = db.execute("SELECT * FROM calls WHERE call_id = ?", (call_id,)).fetchone()
    return None if row is None else call_of(row)


def begin_call(db: sqlite3.Connection, call: WalletCall) -> WalletCall:
    """Insert a call, or return the one with its id if that asks the same."""
    known = find_call(db, call.call_id)
    if known is None:
        _check_no_transfer(db, call.call_id)
        put_call(db, call)
        return call
    check_same(known, call.method, call.url, call.digest)
    return known


def _check_no_transfer(db: sqlite3.Connection, call_id: str) -> None:
    row = db.execute(
        "SELECT 1 FROM transfers WHERE call_id = ? AND call_id != '' AND state != 'failed'",
        (call_id,),
    ).fetchone()
    if row is not None:
        raise StateConflict(
            f"another process is making call {call_id!r}", hint="repeat it with the same id"
        )


def check_same(known: WalletCall, method: str, url: str, digest: bytes) -> None:
    """Check that a call's id is not used for another request; raises IdempotencyMismatch."""
    if (known.method, known.digest) != (method, digest):
        raise IdempotencyMismatch(
            f"call_id {known.call_id!r} was used for {known.method} {known.url} with other content",
            hint=f"use another call_id for {method} {url}"[:300],
        )


def put_call(db: sqlite3.Connection, call: WalletCall) -> None:
    """Insert or replace a call."""
    db.execute(
        "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            call.call_id,
            call.method,
            call.url[:TEXT_CHARS_MAX],
            call.digest,
            call.session,
            call.channel,
            call.lane,
            call.seq,
            call.amount,
            call.at_ms,
            call.state.value,
            call.charged,
        ),
    )


def finish_call(db: sqlite3.Connection, call_id: str, state: CallState, charged: int) -> None:
    """Note what became of a call."""
    db.execute(
        "UPDATE calls SET state = ?, charged = ? WHERE call_id = ?", (state.value, charged, call_id)
    )


def unknown_spends(db: sqlite3.Connection, is_dead: Callable[[str], bool]) -> list[UnknownSpend]:
    """Return what may be charged without an answer that was kept."""
    calls = db.execute("SELECT * FROM calls WHERE state = 'unknown' ORDER BY at_ms").fetchall()
    # A returned lane has leased what was charged; receipts of it may have been kept since.
    closed = db.execute(
        "SELECT channel, lane, min(unknown, leased - (SELECT coalesce(sum(units), 0) FROM receipts"
        "  WHERE receipts.channel = lanes.channel AND receipts.lane = lanes.lane)) AS units"
        " FROM lanes WHERE unknown > 0 ORDER BY channel, lane"
    ).fetchall()
    open_lanes = db.execute(
        "SELECT lanes.channel, lane, leased, owner, ("
        "  SELECT coalesce(sum(units), 0) FROM receipts"
        "  WHERE receipts.channel = lanes.channel AND receipts.lane = lanes.lane) AS known"
        " FROM lanes JOIN sessions USING (session)"
        " WHERE lanes.state = 'open' AND sessions.state = 'live'"
    ).fetchall()
    return [
        *(
            UnknownSpend(
                row["channel"], row["lane"], row["amount"], False, row["call_id"], row["url"]
            )
            for row in calls
        ),
        *(
            UnknownSpend(row["channel"], row["lane"], row["units"], True)
            for row in closed
            if row["units"] > 0
        ),
        *(
            UnknownSpend(row["channel"], row["lane"], row["leased"] - row["known"], False)
            for row in open_lanes
            if row["leased"] > row["known"] and is_dead(row["owner"])
        ),
    ]


def add_receipts(db: sqlite3.Connection, receipts: Sequence[WalletReceipt]) -> None:
    """Insert receipts; a call that was repeated has one."""
    rows = [receipt_row(receipt) for receipt in receipts]
    whole = len(rows) - len(rows) % _ROWS
    # Many rows in one statement cost less than as many statements.
    groups = (rows[first : first + _ROWS] for first in range(0, whole, _ROWS))
    db.executemany(_INSERT_ROWS, (tuple(chain.from_iterable(group)) for group in groups))
    db.executemany(_INSERT_ONE, rows[whole:])


def add_event(db: sqlite3.Connection, event: WalletEvent) -> None:
    """Insert an event."""
    db.execute(
        "INSERT INTO events (at_ms, kind, channel, detail) VALUES (?, ?, ?, ?)",
        (event.at_ms, event.kind, event.channel, event.detail[:TEXT_CHARS_MAX]),
    )
