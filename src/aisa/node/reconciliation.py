"""Carries withdrawals out as they come, and looks again at those without an outcome."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aisa.errors import LedgerStopped, RailUnavailable
from aisa.payment.reconciler import Reconciler

AT_ONCE_MAX: Final = 16
_log = logging.getLogger("aisa.node")


class ReconcilerWorker:
    """Runs one task for each open withdrawal, at most `AT_ONCE_MAX` at a time."""

    def __init__(self, reconciler: Reconciler, *, pause_s: float) -> None:
        self._reconciler = reconciler
        self._pause_s = pause_s
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped: LedgerStopped | None = None

    async def load(self) -> None:
        """Find what earlier runs left open."""
        await self._reconciler.load()

    async def carry_out(self, record_id: str, wait_s: float) -> None:
        """Start on a withdrawal and wait for its outcome, but no longer than `wait_s`."""
        self._reconciler.watch(record_id)
        task = self._start(record_id)
        await asyncio.wait([task], timeout=wait_s)

    async def step(self) -> float:
        """Look at every open withdrawal and return how long to pause.

        Raises:
            LedgerStopped: a task met a ledger that takes no writes.
        """
        if self._stopped is not None:
            raise self._stopped
        for record_id in self._reconciler.open_ids:
            self._start(record_id)
        return self._pause_s

    async def close(self) -> None:
        """Stop at once; what was sent is looked up by the next run."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, record_id: str) -> asyncio.Task[None]:
        task = self._tasks.get(record_id)
        if task is None:
            task = asyncio.create_task(self._advance(record_id))
            self._tasks[record_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(record_id, None))
        return task

    async def _advance(self, record_id: str) -> None:
        async with self._slots:
            try:
                await self._reconciler.advance(record_id)
            except RailUnavailable as error:
                _log.warning("withdrawal %s waits: %s", record_id[-80:], error.detail)
            except LedgerStopped as error:
                self._stopped = error
            except Exception:  # noqa: BLE001 - this task's top; the row stays open and is tried again
                _log.exception("withdrawal %s failed", record_id[-80:])
