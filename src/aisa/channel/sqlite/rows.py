"""How batches are written to the payee's tables, and how what is old is forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from aisa.channel.sqlite import schema
from aisa.channel.store import (
    SESSION_KEPT_S,
    SESSIONS_MAX,
    ChannelRow,
    LaneRow,
    SessionRow,
    StoreBatch,
)

_DEAD_CHANNELS_MAX: Final = 256


def write(cursor: sqlite3.Cursor, batch: StoreBatch) -> None:
    """Write one batch, whatever is in it."""
    if batch.lanes:
        cursor.executemany(schema.PUT_LANE, [_lane_tuple(row) for row in batch.lanes])
        _forget_closed_lanes(cursor, batch)
    if batch.new_channels:
        rows = [_channel_tuple(row) for row in batch.new_channels]
        cursor.executemany(schema.INSERT_CHANNEL, rows)
        last = max(row.number for row in batch.new_channels)
        cursor.execute("UPDATE meta SET value=? WHERE name='channel_last'", (last,))
    if batch.channels:
        cursor.executemany(schema.UPDATE_CHANNEL, [_totals(row) for row in batch.channels])
    if batch.sessions:
        cursor.executemany(schema.INSERT_SESSION, [_session_tuple(row) for row in batch.sessions])
        ended_s = batch.at_ms // 1000 - SESSION_KEPT_S
        ends = {(row.channel, ended_s, SESSIONS_MAX) for row in batch.sessions}
        cursor.executemany(schema.FORGET_SESSIONS, ends)
    if batch.charges:
        _write_charges(cursor, [batch])
    if batch.voids:
        cursor.executemany(schema.VOID_CHARGE, batch.voids)


def write_charged(cursor: sqlite3.Cursor, batches: Sequence[StoreBatch]) -> None:
    """Write batches that only charge, in their order: of a total the last one counts."""
    lanes = {(row.channel, row.lane): row for batch in batches for row in batch.lanes}
    channels = {row.number: row for batch in batches for row in batch.channels}
    cursor.executemany(schema.PUT_LANE, [_lane_tuple(row) for row in lanes.values()])
    cursor.executemany(schema.UPDATE_CHANNEL, [_totals(row) for row in channels.values()])
    _write_charges(cursor, batches)


def _write_charges(cursor: sqlite3.Cursor, batches: Sequence[StoreBatch]) -> None:
    rows: list[tuple[object, ...]] = []
    for batch in batches:
        base, start = batch.number * schema.PLACES, 0
        for place, one in enumerate(batch.charges, base):
            size = len(one.answer)
            rows.append(
                (
                    place, one.channel, one.lane, one.seq, one.units, one.cumulative, one.request,
                    one.status, one.answer_digest, start, size,
                )
            )  # fmt: skip
            start += size
    cursor.executemany(schema.INSERT_CHARGE, rows)
    cursor.executemany(
        "INSERT INTO batch VALUES (?,?,?)",
        [
            (batch.number, batch.at_ms, b"".join([one.answer for one in batch.charges]) or None)
            for batch in batches
        ],
    )


def _forget_closed_lanes(cursor: sqlite3.Cursor, batch: StoreBatch) -> None:
    closed = {row.channel for row in batch.lanes if row.closed and not row.units}
    if closed:
        changed = (*batch.new_channels, *batch.channels)
        floors = [(row.number, row.lane_floor) for row in changed if row.number in closed]
        cursor.executemany(schema.FORGET_CLOSED_LANES, floors)


def older_batches(
    cursor: sqlite3.Cursor, after: int, before_ms: int, batches_max: int
) -> list[int]:
    """The numbers of at most so many batches after one, as far as they are old."""
    rows = cursor.execute(schema.OLDEST_BATCHES, (after, batches_max)).fetchall()
    return [number for number, _ in takewhile(lambda row: row[1] < before_ms, rows)]


def forget_answers(cursor: sqlite3.Cursor, before_ms: int, batches_max: int) -> int:
    """Forget the answers of old batches, from where the last round ended; returns how many."""
    done = cursor.execute("SELECT value FROM meta WHERE name='answers_pruned'").fetchone()
    old = older_batches(cursor, done[0] if done else 0, before_ms, batches_max)
    if old:
        cursor.execute(schema.FORGET_ANSWERS, (old[0], old[-1]))
        cursor.execute("INSERT OR REPLACE INTO meta VALUES ('answers_pruned',?)", (old[-1],))
    return len(old)


def forget_batch(cursor: sqlite3.Cursor, number: int) -> None:
    """Forget the charges of a batch, unless one of them is still to be redeemed."""
    span = (number * schema.PLACES, (number + 1) * schema.PLACES)
    if cursor.execute(schema.IS_OWED, span).fetchone()[0]:
        return
    cursor.execute(schema.RAISE_SEQ_FLOORS, span)
    cursor.execute("DELETE FROM charge WHERE place >= ? AND place < ?", span)
    cursor.execute("DELETE FROM batch WHERE number=?", (number,))
    cursor.execute("UPDATE meta SET value=MAX(value, ?) WHERE name='batch_pruned'", (number,))


def forget_dead_channels(cursor: sqlite3.Cursor, before_ms: int) -> None:
    """Forget some channels that were closed long ago and have no charges any more."""
    dead = cursor.execute(schema.SELECT_DEAD_CHANNELS, (before_ms, _DEAD_CHANNELS_MAX)).fetchall()
    for table, column in (("session", "channel"), ("lane", "channel"), ("channel", "number")):
        cursor.executemany(f"DELETE FROM {table} WHERE {column}=?", dead)  # noqa: S608 - fixed names


def _channel_tuple(row: ChannelRow) -> tuple[object, ...]:
    return (
        row.number, row.id, row.network, row.holder, row.payer, row.currency, row.salt,
        row.fee_ppm, row.opened_ms, row.deposit, row.ceiling, row.voucher_signature, row.charged,
        row.redeemed, row.redeeming, row.lane_floor, int(row.state), row.changed_ms, row.escrow,
    )  # fmt: skip


def _totals(row: ChannelRow) -> tuple[object, ...]:
    return (
        row.deposit, row.ceiling, row.voucher_signature, row.charged, row.redeemed, row.redeeming,
        row.lane_floor, int(row.state), row.changed_ms, row.number,
    )  # fmt: skip


def _session_tuple(row: SessionRow) -> tuple[object, ...]:
    return (
        row.channel, row.hash, row.payer_x25519, row.payee_x25519, row.epoch, row.lane_first,
        row.lane_count, row.expiry,
    )  # fmt: skip


def _lane_tuple(row: LaneRow) -> tuple[object, ...]:
    return (row.channel, row.lane, row.units, int(row.closed))
