"""The node's regular work, each piece a step that `keep_running` repeats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aisa.errors import LedgerStopped
from aisa.node.services import Services
from aisa.node.workers.supervision import keep_running
from aisa.settlement.rail import Rail

CLOSING_STEP_S: Final = 30.0
RELEASE_STEP_S: Final = 10.0

Step = Callable[[], Awaitable[float]]


def chores(services: Services) -> dict[str, Step]:
    """Return every worker's step by its name."""
    steps = {
        "closing channels": _closing(services),
        "held deposits": _releases(services),
        "solvency": _solvency(services),
        "withdrawals": services.reconciler.step,
        "x402 payments": _facilitations(services),
        "expiry": _expiry(services),
        "ledger": _ledger(services),
    }
    for rail in services.rails:
        steps[f"deposits on {rail.network}"] = _deposits(services, rail)
    return steps


async def work(services: Services) -> None:
    """Run every worker until cancelled.

    Raises:
        LedgerStopped: the process must be started again.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for name, step in chores(services).items():
                group.create_task(keep_running(name, step))
    except ExceptionGroup as stopped:  # nothing but LedgerStopped leaves `keep_running`
        raise LedgerStopped("the ledger takes no writes", hint="start the node again") from stopped


def _deposits(services: Services, rail: Rail) -> Step:
    pause_s = services.config.deposit_poll_ms / 1000

    async def step() -> float:
        return 0.0 if await services.deposits.step(rail) else pause_s

    return step


def _releases(services: Services) -> Step:
    async def step() -> float:
        await services.deposits.release_held()
        return RELEASE_STEP_S

    return step


def _facilitations(services: Services) -> Step:
    async def step() -> float:
        await services.facilitator.resume()
        return services.config.reconcile_ms / 1000

    return step


def _solvency(services: Services) -> Step:
    period_s = services.config.solvency_s

    async def step() -> float:
        started_s = time.monotonic()
        await services.solvency.check()
        return max(1.0, period_s - (time.monotonic() - started_s))

    return step


def _closing(services: Services) -> Step:
    pause_s = min(CLOSING_STEP_S, services.config.closing_s / 4)

    async def step() -> float:
        await services.closing.step()
        return pause_s

    return step


def _ledger(services: Services) -> Step:
    async def step() -> float:
        await services.ledger_stopped.wait()
        raise LedgerStopped("a commit failed")

    return step


def _expiry(services: Services) -> Step:
    async def step() -> float:
        await services.store.expire()
        return CLOSING_STEP_S

    return step
