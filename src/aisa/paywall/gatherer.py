"""Group commit: calls that finish together are charged together, in one transaction.

A batch is flushed when a turn of the loop brings nothing new, after 2 ms, or at 512 calls; never
by a fixed timer, which alone would cost a lone call more than its whole commit. On a fast disk the
loop commits itself; on a slow one a thread does, so that nobody else waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from aisa.channel.payee import PayeeCall, PayeeChannel
from aisa.channel.payee_lane import PayeeLane
from aisa.channel.payee_session import PayeeSession
from aisa.channel.store import ChannelStore, Charge, StoreBatch
from aisa.errors import StoreUnavailable

CALLS_MAX: Final = 512
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
WAIT_S_MAX: Final = 0.002
INLINE_MS_MAX: Final = 0.5

T = TypeVar("T")


class _Committed(asyncio.Future["StoreUnavailable | None"]):
    """The outcome of a batch; a caller that is cancelled cannot cancel it for the others."""

    def cancel(self, msg: Any = None) -> bool:  # noqa: ARG002 - the Future's own signature
        return False


class Entry(NamedTuple):
    """A call to be charged; `answer` is what is kept for a repeat, packed, or empty."""

    call: PayeeCall
    units: int
    status: int
    answer_digest: bytes
    answer: bytes


class Draft(Protocol):
    """An answer whose charge is collected; it is sealed with its batch, in one tight loop."""

    def seal(self, at_ms: int) -> Entry:
        """Return what is to be charged and kept; the batch's time is the receipt's."""
        ...

    def decided(self) -> None:
        """The batch's outcome is known; whoever waits for it goes on after this."""
        ...


class _Void(NamedTuple):
    channel: PayeeChannel
    lane: PayeeLane
    seq: int
    units: int


class _Batch:
    """What is being collected for one commit."""

    __slots__ = (
        "answer_bytes",
        "channels",
        "deadline",
        "drafts",
        "entries",
        "future",
        "lanes",
        "pinned",
        "voids",
    )

    def __init__(self, deadline: float) -> None:
        self.future = _Committed()
        self.deadline = deadline
        self.entries: list[Entry] = []
        self.drafts: list[Draft] = []
        self.channels: dict[PayeeChannel, None] = {}
        self.lanes: dict[PayeeLane, PayeeChannel] = {}
        self.voids: list[_Void] = []
        self.pinned: list[PayeeChannel] = []
        self.answer_bytes = 0

    @property
    def size(self) -> int:
        return (
            len(self.drafts)
            + len(self.entries)
            + len(self.voids)
            + len(self.channels)
            + len(self.lanes)
        )


class _Prepared(NamedTuple):
    batch: _Batch
    rows: StoreBatch
    sessions: list[PayeeSession]


class Gatherer:
    """Collects charges and changed channels, and commits them; `clock` gives unix milliseconds.

    `on_commit` is told which channels a commit touched. `is_serving` says whether calls are served
    right now that are not collected yet: a lone call waits for no other.
    """

    def __init__(
        self,
        store: ChannelStore,
        clock: Callable[[], int],
        on_commit: Callable[[Iterable[PayeeChannel]], None],
        is_serving: Callable[[], bool],
        *,
        batch_last: int,
        in_thread: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_commit = on_commit
        self._is_serving = is_serving
        self._batch_last = batch_last
        self._at_ms = 0
        self._open: _Batch | None = None
        self._full: deque[_Batch] = deque()
        self._is_writing = False
        self._writer = ThreadPoolExecutor(1, "aisa-seller") if in_thread else None

    async def charge(
        self, call: PayeeCall, units: int, status: int, answer_digest: bytes, answer: bytes
    ) -> None:
        """Charge an admitted call; returns once that is durable.

        Raises:
            StoreUnavailable: it could not be made durable; the call is released.
        """
        batch = self._collecting()
        batch.entries.append(Entry(call, units, status, answer_digest, answer))
        self._added(batch, len(answer))
        failed = await batch.future
        if failed is not None:
            raise StoreUnavailable(failed.detail)

    def charge_soon(
        self, draft: Draft, answer_bytes: int
    ) -> asyncio.Future[StoreUnavailable | None]:
        """Put a whole answer's charge into the next commit, without waiting for it."""
        batch = self._collecting()
        batch.drafts.append(draft)
        self._added(batch, answer_bytes)
        return batch.future

    async def save(self, channel: PayeeChannel, lane: PayeeLane | None = None) -> None:
        """Make a changed channel, and a lane of it, durable.

        Raises:
            StoreUnavailable: that failed; it is tried again with the next commit.
        """
        failed = await self.save_later(channel, lane)
        if failed is not None:
            raise StoreUnavailable(failed.detail)

    def save_later(
        self, channel: PayeeChannel, lane: PayeeLane | None = None
    ) -> asyncio.Future[StoreUnavailable | None]:
        """Put a changed channel into the next commit, without waiting for it."""
        batch = self._collecting()
        if channel not in batch.channels:
            batch.channels[channel] = None
            batch.pinned.append(channel)
            channel.pins += 1
        if lane is not None:
            batch.lanes[lane] = channel
        return batch.future

    async def void(self, call: PayeeCall, units: int) -> None:
        """Take back a charge that `start_void` set apart; it stands if the commit fails."""
        batch = self._collecting()
        batch.voids.append(_Void(call.channel, call.lane, call.seq, units))
        await batch.future

    async def run(self, work: Callable[[], T]) -> T:
        """Do other work on the store where commits are done."""
        if self._writer is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    async def close(self) -> None:
        """Commit what was collected, and stop."""
        while self._open is not None or self._full or self._is_writing:
            waiting = self._open or (self._full[-1] if self._full else None)
            self._close_batch()
            await (waiting.future if waiting is not None else asyncio.sleep(0.001))
        if self._writer is not None:
            self._writer.shutdown()

    def _collecting(self) -> _Batch:
        batch = self._open
        if batch is None:
            loop = asyncio.get_running_loop()
            batch = self._open = _Batch(loop.time() + WAIT_S_MAX)
            if not self._is_writing:
                loop.call_soon(self._turn, batch, 0)
        return batch

    def _added(self, batch: _Batch, answer_bytes: int) -> None:
        batch.answer_bytes += answer_bytes
        calls = len(batch.entries) + len(batch.drafts)
        if calls >= CALLS_MAX or batch.answer_bytes >= ANSWER_BYTES_MAX:
            self._close_batch()

    def _turn(self, batch: _Batch, seen: int) -> None:
        if batch is not self._open or self._is_writing:
            return
        size = batch.size
        loop = asyncio.get_running_loop()
        is_new = size > seen and (size > 1 or self._is_serving())
        if is_new and loop.time() < batch.deadline:
            loop.call_soon(self._turn, batch, size)
        else:
            self._close_batch()

    def _close_batch(self) -> None:
        """Let no more into the open batch; it is written now, or when the writer is free."""
        if self._open is not None:
            self._full.append(self._open)
            self._open = None
        if self._full and not self._is_writing:
            self._write(self._full.popleft())

    def _write(self, batch: _Batch) -> None:
        prepared = self._prepare(batch)
        if self._writer is None:
            self._finish(prepared, self._commit(prepared.rows))
            return
        self._is_writing = True
        loop = asyncio.get_running_loop()
        written = loop.run_in_executor(self._writer, self._commit, prepared.rows)
        written.add_done_callback(lambda done: self._written(prepared, done.result()))

    def _commit(self, rows: StoreBatch) -> StoreUnavailable | None:
        try:
            self._store.commit(rows)
        except StoreUnavailable as error:
            return error
        return None

    def _written(self, prepared: _Prepared, failed: StoreUnavailable | None) -> None:
        self._is_writing = False
        self._finish(prepared, failed)
        # What queued while the last commit ran goes at once.
        self._close_batch()

    def _prepare(self, batch: _Batch) -> _Prepared:
        # One time for the whole batch, and never back.
        self._at_ms = at_ms = max(self._at_ms, self._clock())
        units_by_channel: dict[PayeeChannel, int] = dict.fromkeys(batch.channels, 0)
        units_by_lane: dict[PayeeLane, int] = dict.fromkeys(batch.lanes, 0)
        charges: list[Charge] = []
        batch.entries += [draft.seal(at_ms) for draft in batch.drafts]
        for call, units, status, digest, answer in batch.entries:
            channel, lane = call.channel, call.lane
            units_by_channel[channel] = total = units_by_channel.get(channel, 0) + units
            units_by_lane[lane] = units_by_lane.get(lane, 0) + units
            charges.append(
                Charge(
                    channel.number, lane.number, call.seq, units, channel.charged + total,
                    call.digest, status, digest, answer,
                )
            )  # fmt: skip
        for channel, lane, _, units in batch.voids:
            units_by_channel[channel] = units_by_channel.get(channel, 0) - units
            units_by_lane[lane] = units_by_lane.get(lane, 0) - units
        batch.channels = dict.fromkeys(units_by_channel)
        sessions = [s for c in batch.channels if c.changed for s in c.sessions if not s.is_stored]
        rows = StoreBatch(
            self._batch_last + 1,
            at_ms,
            tuple(c.row(at_ms, n) for c, n in units_by_channel.items() if not c.is_stored),
            tuple(c.row(at_ms, n) for c, n in units_by_channel.items() if c.is_stored),
            tuple(session.row for session in sessions),
            tuple(lane.row(units) for lane, units in units_by_lane.items()),
            tuple(charges),
            tuple((void.channel.number, void.lane.number, void.seq) for void in batch.voids),
        )
        self._batch_last += 1
        for channel in batch.channels:
            channel.changed = False
        return _Prepared(batch, rows, sessions)

    def _finish(self, prepared: _Prepared, failed: StoreUnavailable | None) -> None:
        batch = prepared.batch
        is_committed = failed is None
        for entry in batch.entries:
            call = entry.call
            if is_committed:
                call.channel.settle(call, entry.units)
            else:
                call.channel.release(call)
            if call.waiter is not None:
                call.waiter.set_result(None)
        for void in batch.voids:
            void.channel.finish_void(void.lane, void.units, is_committed=is_committed)
        for channel in batch.channels:
            if is_committed:
                channel.is_stored = True
            else:
                channel.changed = True
        if is_committed:
            for session in prepared.sessions:
                session.is_stored = True
            self._on_commit(batch.channels)
        for channel in batch.pinned:
            channel.pins -= 1
        batch.future.set_result(failed)
        for draft in batch.drafts:
            draft.decided()
