"""When a batch is committed, on which thread, and what becomes of it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aisa.channel.store import StoreBatch
from aisa.errors import StoreUnavailable
from aisa.paywall.gatherer import CALLS_MAX, Gatherer


class FakeStore:
    """Remembers commits; `gate` holds them up, `fails` refuses them."""

    def __init__(self) -> None:
        self.commits: list[StoreBatch] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def commit(self, batch: StoreBatch) -> None:
        assert self.gate.wait(5)
        self.threads.add(threading.get_ident())
        if self.fails:
            raise StoreUnavailable("full")
        self.commits.append(batch)


class FakeChannel:
    number, charged, changed, is_stored = 1, 0, False, True

    def __init__(self) -> None:
        self.sessions: list[Any] = []
        self.settled: list[int] = []
        self.released = 0
        self.pins = 0

    def row(self, at_ms: int, more: int) -> Any:
        return (at_ms, self.charged + more)

    def settle(self, call: Any, units: int) -> None:
        self.charged += units
        self.settled.append(units)

    def release(self, call: Any) -> None:
        self.released += 1


class FakeLane:
    number = 0

    def row(self, more: int) -> Any:
        return more


class FakeCall:
    digest, waiter = bytes(32), None

    def __init__(self, channel: FakeChannel, lane: FakeLane, seq: int) -> None:
        self.channel, self.lane, self.seq = channel, lane, seq


def make(store: FakeStore, *, in_thread: bool = False, serving: int = 0) -> Gatherer:
    return Gatherer(
        store,  # type: ignore[arg-type]
        lambda: 1000,
        lambda channels: None,
        lambda: serving > 0,
        batch_last=7,
        in_thread=in_thread,
    )


def charge(gatherer: Gatherer, channel: FakeChannel, seq: int, lane: FakeLane) -> Any:
    call: Any = FakeCall(channel, lane, seq)
    return gatherer.charge(call, 10, 200, bytes(32), b"")


@pytest.mark.parametrize("in_thread", [False, True])
async def test_calls_that_end_together_share_a_commit(in_thread: bool) -> None:
    store, channel, lane = FakeStore(), FakeChannel(), FakeLane()
    gatherer = make(store, in_thread=in_thread)
    await asyncio.gather(*(charge(gatherer, channel, seq, lane) for seq in range(20)))
    assert len(store.commits) == 1
    batch = store.commits[0]
    assert batch.number == 8
    assert [one.cumulative for one in batch.charges] == list(range(10, 201, 10))
    assert batch.channels == ((1000, 200),)
    assert batch.lanes == (200,)
    assert channel.charged == 200
    assert (threading.get_ident() in store.threads) is not in_thread
    await gatherer.close()


async def test_a_lone_call_does_not_wait_for_a_timer() -> None:
    store, channel, lane = FakeStore(), FakeChannel(), FakeLane()
    gatherer = make(store)
    turns = 0
    done = asyncio.ensure_future(charge(gatherer, channel, 1, lane))
    while not done.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns < 8


@pytest.mark.parametrize(("serving", "commits"), [(0, 2), (1, 1)])
async def test_a_lone_call_waits_a_turn_only_for_others_that_are_served(
    serving: int, commits: int
) -> None:
    store, channel, lane = FakeStore(), FakeChannel(), FakeLane()
    gatherer = make(store, serving=serving)

    async def another() -> None:
        await asyncio.sleep(0)
        await charge(gatherer, channel, 2, lane)

    await asyncio.gather(charge(gatherer, channel, 1, lane), another())
    assert len(store.commits) == commits


async def test_a_full_batch_goes_at_once() -> None:
    store, channel, lane = FakeStore(), FakeChannel(), FakeLane()
    gatherer = make(store)
    calls = CALLS_MAX * 2 + 5
    await asyncio.gather(*(charge(gatherer, channel, seq, lane) for seq in range(calls)))
    assert [len(batch.charges) for batch in store.commits] == [CALLS_MAX, CALLS_MAX, 5]


async def test_what_queues_while_the_thread_writes_goes_next() -> None:
    store, channel, lane = FakeStore(), FakeChannel(), FakeLane()
    gatherer = make(store, in_thread=True)
    store.gate.clear()
    first = asyncio.ensure_future(charge(gatherer, channel, 1, lane))
    await asyncio.sleep(0.02)
    rest = [asyncio.ensure_future(charge(gatherer, channel, n, lane)) for n in range(2, 600)]
    await asyncio.sleep(0.02)
    assert not first.done()
    store.gate.set()
    await asyncio.gather(first, *rest)
    assert [len(batch.charges) for batch in store.commits] == [1, CALLS_MAX, 598 - CALLS_MAX]
    numbers = [batch.number for batch in store.commits]
    assert numbers == [8, 9, 10]
    await gatherer.close()


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_failed_commit_charges_nobody(in_thread: bool) -> None:
    store, channel, lane = FakeStore(), FakeChannel(), FakeLane()
    gatherer = make(store, in_thread=in_thread)
    store.fails = True
    outcomes = await asyncio.gather(
        *(charge(gatherer, channel, seq, lane) for seq in range(3)), return_exceptions=True
    )
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert (channel.charged, channel.released, channel.changed) == (0, 3, True)
    store.fails = False
    await charge(gatherer, channel, 9, lane)
    assert channel.charged == 10
    await gatherer.close()


async def test_cancelling_one_caller_leaves_the_others_alone() -> None:
    store, channel, lane = FakeStore(), FakeChannel(), FakeLane()
    gatherer = make(store, in_thread=True)
    store.gate.clear()
    tasks = [asyncio.ensure_future(charge(gatherer, channel, n, lane)) for n in range(3)]
    await asyncio.sleep(0.02)
    tasks[0].cancel()
    await asyncio.sleep(0)
    store.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [None, None]
    assert channel.charged == 30
    await gatherer.close()


async def test_closing_commits_what_was_collected() -> None:
    store, channel, lane = FakeStore(), FakeChannel(), FakeLane()
    gatherer = make(store, in_thread=True)
    saved = gatherer.save_later(channel, lane)  # type: ignore[arg-type]
    assert channel.pins == 1
    await gatherer.close()
    assert (await saved, channel.pins, len(store.commits)) == (None, 0, 1)


async def test_time_never_goes_back() -> None:
    store, channel, lane = FakeStore(), FakeChannel(), FakeLane()
    times = iter([1000, 900, 1100])
    gatherer = Gatherer(
        store,  # type: ignore[arg-type]
        lambda: next(times),
        lambda channels: None,
        lambda: False,
        batch_last=0,
        in_thread=False,
    )
    for seq in range(3):
        await charge(gatherer, channel, seq, lane)
    assert [batch.at_ms for batch in store.commits] == [1000, 1000, 1100]
