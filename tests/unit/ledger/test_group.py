"""Group commit: what goes together, who is told what, and when it stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from aisa.errors import LedgerStopped, RateLimited
from aisa.ledger import Command, Outcome, Status, VoidHold
from aisa.ledger import group as group_module
from aisa.ledger.group import BATCH_MAX, GroupCommit

APPLIED = Outcome(Status.APPLIED)


def command(number: int) -> Command:
    return (VoidHold(f"v{number}", f"h{number}"),)


class Disk:
    """Commits when it is let to, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Command]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def commit(self, commands: Sequence[Command]) -> Sequence[Outcome]:
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        self.batches.append(commands)
        return [APPLIED] * len(commands)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def group(disk: Disk) -> AsyncIterator[GroupCommit]:
    with ThreadPoolExecutor(1) as executor:
        yield GroupCommit(disk.commit, executor)
        disk.gate.set()


async def test_what_comes_in_one_turn_goes_into_one_batch(disk: Disk, group: GroupCommit) -> None:
    outcomes = await asyncio.gather(*(group.post(command(number)) for number in range(100)))
    assert outcomes == [APPLIED] * 100
    assert [len(batch) for batch in disk.batches] == [100]


async def test_what_comes_during_a_commit_goes_into_the_next(
    disk: Disk, group: GroupCommit
) -> None:
    disk.gate.clear()
    posts = [asyncio.ensure_future(group.post(command(0)))]
    for _ in range(5):
        await asyncio.sleep(0)
    for number in range(1, 50):
        posts.append(asyncio.ensure_future(group.post(command(number))))
        await asyncio.sleep(0)
    assert not any(post.done() for post in posts)
    disk.gate.set()
    await asyncio.gather(*posts)
    assert [len(batch) for batch in disk.batches] == [1, 49]
    assert [one for batch in disk.batches for one in batch] == [command(n) for n in range(50)]


async def test_a_batch_is_bounded(disk: Disk, group: GroupCommit) -> None:
    count = 2 * BATCH_MAX + 1
    await asyncio.gather(*(group.post(command(number)) for number in range(count)))
    assert sum(len(batch) for batch in disk.batches) == count
    assert max(len(batch) for batch in disk.batches) == BATCH_MAX


async def test_a_trickle_does_not_hold_up_the_first(
    disk: Disk, group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "GATHER_S_MAX", 0.0)
    first = asyncio.ensure_future(group.post(command(0)))
    posts: list[asyncio.Future[Outcome]] = []
    while not first.done():
        posts.append(asyncio.ensure_future(group.post(command(1 + len(posts)))))
        await asyncio.sleep(0)
    await asyncio.gather(*posts)
    assert len(disk.batches) > 1


async def test_a_cancelled_caller_leaves_the_others_alone(disk: Disk, group: GroupCommit) -> None:
    disk.gate.clear()
    posts = [asyncio.ensure_future(group.post(command(number))) for number in range(3)]
    await asyncio.sleep(0)
    posts[1].cancel()
    disk.gate.set()
    results = await asyncio.gather(*posts, return_exceptions=True)
    assert results[0] == results[2] == APPLIED
    assert isinstance(results[1], asyncio.CancelledError)


async def test_a_failed_commit_fails_everyone_and_stops(disk: Disk, group: GroupCommit) -> None:
    disk.gate.clear()
    disk.error = OSError("database or disk is full")
    posts = [asyncio.ensure_future(group.post(command(0)))]
    for _ in range(5):
        await asyncio.sleep(0)
    posts.append(asyncio.ensure_future(group.post(command(1))))
    await asyncio.sleep(0)
    disk.gate.set()
    results = await asyncio.gather(*posts, return_exceptions=True)
    assert [type(result) for result in results] == [LedgerStopped, LedgerStopped]
    assert "disk is full" in str(results[0])
    with pytest.raises(LedgerStopped, match="disk is full"):
        await group.post(command(2))
    await group.close()


async def test_closing_waits_for_what_was_taken(disk: Disk, group: GroupCommit) -> None:
    disk.gate.clear()
    post = asyncio.ensure_future(group.post(command(0)))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(group.close())
    await asyncio.sleep(0)
    with pytest.raises(LedgerStopped, match="closed"):
        await group.post(command(1))
    assert not closing.done()
    disk.gate.set()
    await closing
    assert await post == APPLIED


async def test_the_queue_is_bounded(
    disk: Disk, group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "WAITING_MAX", 2)
    disk.gate.clear()
    posts = [asyncio.ensure_future(group.post(command(number))) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await group.post(command(2))
    disk.gate.set()
    await asyncio.gather(*posts)
