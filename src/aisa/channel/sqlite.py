"""The payee's `ChannelStore` on one SQLite file: WAL, `synchronous=FULL`, one owner.

Writes go through one connection and reads through another, so that a commit on the writer's thread
does not stop a look-up on the loop's.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, Final

from aisa import faults
from aisa.channel import sqlite_schema as schema
from aisa.channel.store import (
    SESSION_KEPT_S,
    SESSIONS_MAX,
    ChannelRow,
    ChannelState,
    Charge,
    LaneRow,
    SessionRow,
    StoreBatch,
    StoredChannel,
    StoredCharge,
    StoredLane,
    StoreSummary,
)
from aisa.errors import ConfigInvalid, FileOwned, StoreUnavailable

_PROBES: Final = 9
_DEAD_CHANNELS_MAX: Final = 256


class SqliteChannelStore:
    """The store at `path`, bound to one payee key for ever.

    Raises:
        FileOwned: another process has it open.
        ConfigInvalid: it is another payee's, of a newer version, or no such file.
        StoreUnavailable: it cannot be opened for writing.
    """

    def __init__(
        self,
        path: Path,
        payee: bytes,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._owner = _own(path)
        self._pruned = 0
        try:
            with _guarded():
                # It holds answers and a secret; SQLite gives its other files the same mode.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                self._writer = _connect(path)
                _prepare(self._writer, payee, random_bytes)
                self._reader = _connect(path)
                self._reader.execute("PRAGMA query_only=ON")
        except BaseException:
            os.close(self._owner)
            raise

    def close(self) -> None:
        """Close the file and give it up."""
        if self._owner >= 0:
            self._reader.close()
            self._writer.close()
            os.close(self._owner)
            self._owner = -1

    def secret(self) -> bytes:
        """The 32 bytes that challenges are sealed with."""
        return bytes(self._one("SELECT value FROM meta WHERE name='secret'")[0])

    def summary(self) -> StoreSummary:
        """The last numbers given out, the channels that owe, and what each hub owes."""
        batch_last = self._one("SELECT COALESCE(MAX(number), 0) FROM batch")[0]
        # Pruned batches leave their number behind: a receipt's batch is never named twice.
        pruned_last = self._one("SELECT value FROM meta WHERE name='batch_pruned'")[0]
        channel_last = self._one("SELECT value FROM meta WHERE name='channel_last'")[0]
        owing: list[tuple[str, int]] = []
        unredeemed: dict[str, int] = {}
        for network, number, units in self._all(schema.SELECT_OWING):
            owing.append((network, number))
            unredeemed[network] = unredeemed.get(network, 0) + units
        return StoreSummary(
            max(batch_last, pruned_last), channel_last, tuple(owing), tuple(unredeemed.items())
        )

    def commit(self, batch: StoreBatch) -> None:
        """Write the batch durably; a failure leaves nothing of it."""
        with self._transaction() as cursor:
            _write(cursor, batch)
            faults.hit("seller.commit.before")
        faults.hit("seller.commit.after")

    def channel(self, channel: bytes) -> StoredChannel | None:
        """The channel with this id."""
        return self._channel("SELECT * FROM channel WHERE id=?", channel)

    def channel_by_number(self, number: int) -> StoredChannel | None:
        """The channel with this number."""
        return self._channel("SELECT * FROM channel WHERE number=?", number)

    def lane(self, channel: int, lane: int) -> StoredLane | None:
        """A lane as it was last committed, with at most 1,024 of its seq."""
        row = self._maybe(
            "SELECT units, closed, seq_floor FROM lane WHERE channel=? AND lane=?", channel, lane
        )
        if row is None:
            return None
        seqs = tuple(seq for (seq,) in self._all(schema.SELECT_SEQS, channel, lane))
        return StoredLane(row[0], bool(row[1]), row[2], seqs)

    def charge(self, channel: int, lane: int, seq: int) -> StoredCharge | None:
        """The charge of one call, with its answer if it is still kept."""
        row = self._maybe(
            f"{schema.SELECT_CHARGE} WHERE channel=? AND lane=? AND seq=?", channel, lane, seq
        )
        if row is None:
            return None
        start, size, voided = row[8:11]
        batch, place = divmod(row[11], schema.PLACES)
        answer = self._answer(batch, start, size) if size else b""
        at_ms = self._one("SELECT at_ms FROM batch WHERE number=?", batch)[0]
        return StoredCharge(_charge(row, answer), batch, place, at_ms, bool(voided))

    def batch(self, number: int) -> tuple[Charge, ...]:
        """The charges of one commit in their order, without their answers."""
        first = number * schema.PLACES
        rows = self._all(
            f"{schema.SELECT_CHARGE} WHERE place >= ? AND place < ? ORDER BY place",
            first,
            first + schema.PLACES,
        )
        return tuple(_charge(row) for row in rows)

    def prune(self, *, answers_before_ms: int, charges_before_ms: int, batches_max: int) -> bool:
        """Forget answers, redeemed charges and closed channels that are old enough."""
        with self._transaction() as cursor:
            gone = _forget_answers(cursor, answers_before_ms, batches_max)
            old = _older(cursor, self._pruned, charges_before_ms, batches_max)
            for number in old:
                _forget_batch(cursor, number)
            # Batches that still wait for a redemption are passed over until the next round.
            self._pruned = old[-1] if len(old) == batches_max else 0
            _forget_dead_channels(cursor, charges_before_ms)
        return batches_max in (gone, len(old))

    def probe_ms(self) -> float:
        """The median time of a small commit on this disk."""
        times: list[float] = []
        for number in range(_PROBES):
            start = time.perf_counter()
            with self._transaction() as cursor:
                cursor.execute("UPDATE meta SET value=? WHERE name='probe'", (number,))
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1000

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Cursor]:
        with _guarded():
            cursor = self._writer.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                with suppress(sqlite3.Error):
                    self._writer.rollback()
                raise

    def _channel(self, sql: str, key: bytes | int) -> StoredChannel | None:
        found = self._maybe(sql, key)
        if found is None:
            return None
        row = _channel_row(found)
        sessions = self._all("SELECT * FROM session WHERE channel=? ORDER BY expiry", row.number)
        lanes = self._all(
            "SELECT lane FROM lane WHERE channel=? AND lane>=?", row.number, row.lane_floor
        )
        return StoredChannel(
            row, tuple(SessionRow(*session) for session in sessions), tuple(n for (n,) in lanes)
        )

    def _answer(self, batch: int, start: int, size: int) -> bytes:
        # substr on a blob column reads only the pages that it needs.
        row = self._maybe(
            "SELECT substr(answers, ?, ?) FROM batch WHERE number=?", start + 1, size, batch
        )
        return bytes(row[0]) if row and row[0] is not None else b""

    def _one(self, sql: str, *values: bytes | int) -> tuple[Any, ...]:
        row = self._maybe(sql, *values)
        if row is None:
            raise StoreUnavailable("the seller's file lacks a row that it was made with")
        return row

    def _maybe(self, sql: str, *values: bytes | int) -> tuple[Any, ...] | None:
        with _guarded():
            return self._reader.execute(sql, values).fetchone()

    def _all(self, sql: str, *values: bytes | int) -> list[tuple[Any, ...]]:
        with _guarded():
            return self._reader.execute(sql, values).fetchall()


@contextmanager
def _guarded() -> Generator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"the seller's file could not be used: {error}") from error


def _own(path: Path) -> int:
    """Take the lock beside the file; it falls with the process, however that ends."""
    side = path.with_name(path.name + ".lock")
    descriptor = os.open(side, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(descriptor, 16, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise FileOwned(
            f"{path} is in use by process {owner}",
            hint="run one worker for each seller file: stop that process, or give this one a file"
            " of its own and let the load balancer hash the channel id",
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA temp_store=MEMORY")
    # Calls on many channels at once touch a page of each; SQLite's own 2 MB would read them again.
    connection.execute("PRAGMA cache_size=-16384")
    return connection


def _prepare(
    connection: sqlite3.Connection, payee: bytes, random_bytes: Callable[[int], bytes]
) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > schema.VERSION:
        raise ConfigInvalid(
            f"the seller's file is of version {version}, this program writes {schema.VERSION}",
            hint="use the newer version of aisa-node",
        )
    if version < schema.VERSION:
        connection.execute("BEGIN IMMEDIATE")
        steps = schema.FROM_VERSION_1 if version else schema.TABLES
        for statement in filter(str.strip, steps.split(";")):
            connection.execute(statement)
        if not version:
            meta = {"payee": payee, "secret": random_bytes(32)}
            meta |= dict.fromkeys(("batch_pruned", "channel_last", "probe"), 0)
            connection.executemany("INSERT INTO meta VALUES (?,?)", meta.items())
        connection.execute(f"PRAGMA user_version={schema.VERSION}")
        connection.execute("COMMIT")
    bound = connection.execute("SELECT value FROM meta WHERE name='payee'").fetchone()[0]
    if bytes(bound) != payee:
        raise ConfigInvalid(
            "the seller's file belongs to another payee key",
            hint="use the key that the file was made with, or another file",
        )


def _write(cursor: sqlite3.Cursor, batch: StoreBatch) -> None:
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
        _write_charges(cursor, batch)
    if batch.voids:
        cursor.executemany(schema.VOID_CHARGE, batch.voids)


def _write_charges(cursor: sqlite3.Cursor, batch: StoreBatch) -> None:
    base = batch.number * schema.PLACES
    starts = [0]
    for charge in batch.charges:
        starts.append(starts[-1] + len(charge.answer))
    cursor.executemany(
        schema.INSERT_CHARGE,
        [
            # The module asks of each bytes object whether it has an adapter; of a bytearray it does not.
            (
                base + place,
                c.channel,
                c.lane,
                c.seq,
                c.units,
                c.cumulative,
                bytearray(c.request),
                c.status,
                bytearray(c.answer_digest),
                start,
                end - start,
            )
            for place, (c, (start, end)) in enumerate(
                zip(batch.charges, pairwise(starts), strict=True)
            )
        ],
    )
    answers = b"".join([charge.answer for charge in batch.charges]) or None
    cursor.execute("INSERT INTO batch VALUES (?,?,?)", (batch.number, batch.at_ms, answers))


def _forget_closed_lanes(cursor: sqlite3.Cursor, batch: StoreBatch) -> None:
    closed = {row.channel for row in batch.lanes if row.closed and not row.units}
    if closed:
        changed = (*batch.new_channels, *batch.channels)
        floors = [(row.number, row.lane_floor) for row in changed if row.number in closed]
        cursor.executemany(schema.FORGET_CLOSED_LANES, floors)


def _older(cursor: sqlite3.Cursor, after: int, before_ms: int, batches_max: int) -> list[int]:
    rows = cursor.execute(schema.OLDEST_BATCHES, (after, batches_max)).fetchall()
    return [number for number, _ in takewhile(lambda row: row[1] < before_ms, rows)]


def _forget_answers(cursor: sqlite3.Cursor, before_ms: int, batches_max: int) -> int:
    """Forget the answers of old batches, from where the last round ended; returns how many."""
    done = cursor.execute("SELECT value FROM meta WHERE name='answers_pruned'").fetchone()
    old = _older(cursor, done[0] if done else 0, before_ms, batches_max)
    if old:
        cursor.execute(schema.FORGET_ANSWERS, (old[0], old[-1]))
        cursor.execute("INSERT OR REPLACE INTO meta VALUES ('answers_pruned',?)", (old[-1],))
    return len(old)


def _forget_batch(cursor: sqlite3.Cursor, number: int) -> None:
    span = (number * schema.PLACES, (number + 1) * schema.PLACES)
    if cursor.execute(schema.IS_OWED, span).fetchone()[0]:
        return
    cursor.execute(schema.RAISE_SEQ_FLOORS, span)
    cursor.execute("DELETE FROM charge WHERE place >= ? AND place < ?", span)
    cursor.execute("DELETE FROM batch WHERE number=?", (number,))
    cursor.execute("UPDATE meta SET value=MAX(value, ?) WHERE name='batch_pruned'", (number,))


def _forget_dead_channels(cursor: sqlite3.Cursor, before_ms: int) -> None:
    dead = cursor.execute(schema.SELECT_DEAD_CHANNELS, (before_ms, _DEAD_CHANNELS_MAX)).fetchall()
    for table, column in (("session", "channel"), ("lane", "channel"), ("channel", "number")):
        cursor.executemany(f"DELETE FROM {table} WHERE {column}=?", dead)  # noqa: S608 - fixed names


def _charge(row: tuple[Any, ...], answer: bytes = b"") -> Charge:
    return Charge._make((*row[:8], answer))


def _channel_row(row: tuple[Any, ...]) -> ChannelRow:
    columns: dict[str, Any] = dict(zip(ChannelRow.__dataclass_fields__, row, strict=True))
    columns["state"] = ChannelState(columns["state"])
    return ChannelRow(**columns)


def _channel_tuple(row: ChannelRow) -> tuple[object, ...]:
    return (
        row.number, row.id, row.network, row.holder, row.payer, row.currency, row.salt,
        row.fee_ppm, row.opened_ms, row.deposit, row.ceiling, row.voucher_signature, row.charged,
        row.redeemed, row.redeeming, row.lane_floor, int(row.state), row.changed_ms,
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
