"""Group commit without a fixed timer.

What came while the last commit ran goes together into the next one, with what the loop brings until
a turn brings nothing new. A lone command waits for two turns of the loop, not for a clock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from aisa.errors import LedgerStopped, RateLimited
from aisa.ledger.outcome import Command, Outcome

BATCH_MAX = 1_000
WAITING_MAX = 100_000
GATHER_S_MAX = 0.002
"""A loop that brings one command in every turn must not hold up the first of them."""

Commit = Callable[[Sequence[Command]], Sequence[Outcome]]


class GroupCommit:
    """Runs `commit` in the executor, one batch at a time, and hands out the outcomes after it.

    Made and used within one running event loop. The first failed commit stops it: whether that batch
    is on disk is not known, and no later one may be built on it.
    """

    def __init__(self, commit: Commit, executor: Executor) -> None:
        self._commit = commit
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Command, asyncio.Future[Outcome]]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._seen = 0
        self._deadline = 0.0
        self._stopped: LedgerStopped | None = None

    async def post(self, command: Command) -> Outcome:
        """Return the command's outcome after the commit that holds it.

        A cancelled caller's command may still be committed; repeat it with the same ids to find out.

        Raises:
            LedgerStopped: closed, or a commit failed.
            RateLimited: too many commands are waiting.
        """
        if self._stopped is not None:
            raise self._stopped
        if len(self._waiting) >= WAITING_MAX:
            raise RateLimited(f"{WAITING_MAX} commands are waiting for the ledger's disk")
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting.append((command, future))
        if self._idle.is_set():
            self._idle.clear()
            self._gather()
        return await future

    async def close(self) -> None:
        """Commit what is waiting, then take nothing more."""
        if self._stopped is None:
            self._stopped = LedgerStopped("the ledger is closed")
        await self._idle.wait()

    def _gather(self) -> None:
        self._seen = 0
        self._deadline = self._loop.time() + GATHER_S_MAX
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        count = len(self._waiting)
        if self._seen < count < BATCH_MAX and self._loop.time() < self._deadline:
            self._seen = count
            self._loop.call_soon(self._turn)
            return
        batch = [self._waiting.popleft() for _ in range(min(count, BATCH_MAX))]
        commands = [command for command, _ in batch]
        done = self._loop.run_in_executor(self._executor, self._commit, commands)
        done.add_done_callback(lambda result: self._finish(batch, result))

    def _finish(
        self,
        batch: list[tuple[Command, asyncio.Future[Outcome]]],
        result: asyncio.Future[Sequence[Outcome]],
    ) -> None:
        error = result.exception()
        if error is not None:
            self._stop(batch, error)
            return
        for (_, future), outcome in zip(batch, result.result(), strict=True):
            if not future.done():
                future.set_result(outcome)
        if self._waiting:
            self._gather()
        else:
            self._idle.set()

    def _stop(
        self, batch: list[tuple[Command, asyncio.Future[Outcome]]], error: BaseException
    ) -> None:
        self._stopped = LedgerStopped(
            f"the ledger could not commit and takes no more writes: {error}",
            hint="see to the disk and restart; repeat what was not answered with the same ids",
        )
        self._stopped.__cause__ = error
        batch.extend(self._waiting)
        self._waiting.clear()
        for _, future in batch:
            if not future.done():
                future.set_exception(self._stopped)
        self._idle.set()
