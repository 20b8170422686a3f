"""The payee's `ChannelStore` on one SQLite file: WAL, `synchronous=FULL`, one owner.

A batch that only charges goes to the journal, and is folded into the tables with those after it;
whatever else there is to write or to read of what is in the journal folds it first.

Writes go through one connection and reads through another, so that a commit on the writer's thread
does not stop a look-up on the loop's.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from aisa import faults
from aisa.channel.sqlite import schema
from aisa.channel.sqlite.journal import Journal
from aisa.channel.sqlite.rows import (
    forget_answers,
    forget_batch,
    forget_dead_channels,
    older_batches,
    write,
    write_charged,
)
from aisa.channel.sqlite.sales import SqliteSales
from aisa.channel.store import (
    ChannelRow,
    ChannelState,
    Charge,
    SessionRow,
    StoreBatch,
    StoredChannel,
    StoredCharge,
    StoredLane,
    StoreSummary,
)
from aisa.errors import ConfigInvalid, FileOwned, StoreUnavailable

_PROBES: Final = 9
_FOLDED_MIN: Final = 256
"""So many charges are folded into the tables together."""
_RECORD_BYTES_MAX: Final = 64 * 1024
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(StoreBatch)


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
        self._lock = threading.RLock()
        self._journaled: list[StoreBatch] = []
        self._calls: set[tuple[int, int, int]] = set()
        self._touched: set[int | bytes] = set()
        self._is_journal_sound = True
        try:
            with _guarded():
                # It holds answers and a secret; SQLite gives its other files the same mode.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                self._writer = _connect(path)
                _prepare(self._writer, payee, random_bytes)
                self._reader = _connect(path)
                self._reader.execute("PRAGMA query_only=ON")
                self._open_journal(path.with_name(path.name + ".journal"))
            self.sales = SqliteSales(self._reader, self._locked_transaction)
        except BaseException:
            os.close(self._owner)
            raise

    def close(self) -> None:
        """Close the file and give it up."""
        if self._owner >= 0:
            with suppress(StoreUnavailable):  # the journal keeps what could not be folded
                self._fold()
            self._journal.close()
            self._reader.close()
            self._writer.close()
            os.close(self._owner)
            self._owner = -1

    def secret(self) -> bytes:
        """The 32 bytes that challenges are sealed with."""
        return bytes(self._one("SELECT value FROM meta WHERE name='secret'")[0])

    def summary(self) -> StoreSummary:
        """The last numbers given out, the channels that owe, and what each hub owes."""
        self._fold()
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
        with self._lock:
            if not self._append(batch):
                self._fold(batch)
            elif len(self._calls) >= _FOLDED_MIN:
                with suppress(StoreUnavailable):  # the batch itself is durable in the journal
                    self._fold()
        faults.hit("seller.commit.after")

    def channel(self, channel: bytes) -> StoredChannel | None:
        """The channel with this id."""
        self._fold_if(channel in self._touched)
        return self._channel("SELECT * FROM channel WHERE id=?", channel)

    def channel_by_number(self, number: int) -> StoredChannel | None:
        """The channel with this number."""
        self._fold_if(number in self._touched)
        return self._channel("SELECT * FROM channel WHERE number=?", number)

    def lane(self, channel: int, lane: int) -> StoredLane | None:
        """A lane as it was last committed, with at most 1,024 of its seq."""
        self._fold_if(channel in self._touched)
        row = self._maybe(
            "SELECT units, closed, seq_floor FROM lane WHERE channel=? AND lane=?", channel, lane
        )
        if row is None:
            return None
        seqs = tuple(seq for (seq,) in self._all(schema.SELECT_SEQS, channel, lane))
        return StoredLane(row[0], bool(row[1]), row[2], seqs)

    def charge(self, channel: int, lane: int, seq: int) -> StoredCharge | None:
        """The charge of one call, with its answer if it is still kept."""
        self._fold_if((channel, lane, seq) in self._calls)
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
        self._fold()
        first = number * schema.PLACES
        rows = self._all(
            f"{schema.SELECT_CHARGE} WHERE place >= ? AND place < ? ORDER BY place",
            first,
            first + schema.PLACES,
        )
        return tuple(_charge(row) for row in rows)

    def prune(self, *, answers_before_ms: int, charges_before_ms: int, batches_max: int) -> bool:
        """Forget answers, redeemed charges and closed channels that are old enough."""
        with self._lock:
            self._fold()
            with self._transaction() as cursor:
                gone = forget_answers(cursor, answers_before_ms, batches_max)
                old = older_batches(cursor, self._pruned, charges_before_ms, batches_max)
                for number in old:
                    forget_batch(cursor, number)
                # Batches that still wait for a redemption are passed over until the next round.
                self._pruned = old[-1] if len(old) == batches_max else 0
                forget_dead_channels(cursor, charges_before_ms)
        return batches_max in (gone, len(old))

    def probe_ms(self) -> float:
        """The median time of a small commit on this disk."""
        times: list[float] = []
        for _ in range(_PROBES):
            start = time.perf_counter()
            with self._lock, _guarded():
                self._journal.flush()
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1000

    def _open_journal(self, path: Path) -> None:
        """Open the journal, and fold in what a crash left there."""
        generation = self._one("SELECT value FROM meta WHERE name='generation'")[0]
        self._journal = Journal(path, generation, self.secret())
        try:
            self._journaled = [_decoder.decode(body) for body in self._journal.records()]
            self._fold()
        except BaseException as error:
            self._journal.close()
            if isinstance(error, msgspec.MsgspecError):
                raise StoreUnavailable(f"{path} cannot be read: {error}") from error
            raise

    def _append(self, batch: StoreBatch) -> bool:
        """Write a batch of charges to the journal; False if it must go to the tables."""
        if not self._is_journal_sound or not _only_charges(batch):
            return False
        calls = {(one.channel, one.lane, one.seq) for one in batch.charges}
        if len(calls) < len(batch.charges) or not calls.isdisjoint(self._calls):
            raise StoreUnavailable("a call of the batch was charged before")
        if any(not 0 <= row.charged <= row.ceiling <= row.deposit for row in batch.channels):
            raise StoreUnavailable("a channel of the batch is charged above its ceiling")
        body = _encoder.encode(batch)
        if len(body) > _RECORD_BYTES_MAX:
            return False
        faults.hit("seller.commit.before")
        try:
            is_written = self._journal.append(body)
        except OSError as error:
            # It may be on the disk after all: the next generation forgets it.
            self._is_journal_sound = False
            raise StoreUnavailable(f"the seller's journal could not be used: {error}") from error
        if is_written:
            self._journaled.append(batch)
            self._calls |= calls
            self._touched.update([one.channel for one in batch.charges])
            self._touched.update([row.id for row in batch.channels])
        return is_written

    def _fold_if(self, is_due: bool) -> None:
        if is_due:
            self._fold()

    def _fold(self, batch: StoreBatch | None = None) -> None:
        """Write what the journal holds to the tables, and a batch that does not go through it."""
        if batch is None and not self._journaled:
            return
        with self._lock:
            is_anew = bool(self._journaled) or not self._is_journal_sound
            # Should a commit fail and yet survive a crash, nothing may be in the journal after it.
            self._is_journal_sound = False
            with self._transaction() as cursor:
                if self._journaled:
                    write_charged(cursor, self._journaled)
                    faults.hit("seller.fold.before")
                if is_anew:
                    cursor.execute(schema.NEXT_GENERATION)
                if batch is not None:
                    write(cursor, batch)
                    faults.hit("seller.commit.before")
            if self._journaled:
                faults.hit("seller.fold.after")
            if is_anew:
                self._journal.start_anew()
            self._is_journal_sound = True
            self._journaled.clear()
            self._calls.clear()
            self._touched.clear()

    @contextmanager
    def _locked_transaction(self) -> Generator[sqlite3.Cursor]:
        with self._lock, self._transaction() as cursor:
            yield cursor

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
        for steps in schema.STEPS[version:] if version else (schema.TABLES,):
            for statement in filter(str.strip, steps.split(";")):
                connection.execute(statement)
        if not version:
            meta = {"payee": payee, "secret": random_bytes(32)}
            meta |= dict.fromkeys(("batch_pruned", "channel_last", "generation"), 0)
            connection.executemany("INSERT INTO meta VALUES (?,?)", meta.items())
        connection.execute(f"PRAGMA user_version={schema.VERSION}")
        connection.execute("COMMIT")
    bound = connection.execute("SELECT value FROM meta WHERE name='payee'").fetchone()[0]
    if bytes(bound) != payee:
        raise ConfigInvalid(
            "the seller's file belongs to another payee key",
            hint="use the key that the file was made with, or another file",
        )


def _charge(row: tuple[Any, ...], answer: bytes = b"") -> Charge:
    return Charge._make((*row[:8], answer))


def _channel_row(row: tuple[Any, ...]) -> ChannelRow:
    columns: dict[str, Any] = dict(zip(ChannelRow.__dataclass_fields__, row, strict=True))
    columns["state"] = ChannelState(columns["state"])
    return ChannelRow(**columns)


def _only_charges(batch: StoreBatch) -> bool:
    """Whether a batch changes nothing but totals, as nearly all do that come one after another."""
    return bool(batch.charges) and not (
        batch.new_channels
        or batch.sessions
        or batch.voids
        or any(lane.closed for lane in batch.lanes)
    )
