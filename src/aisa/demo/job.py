"""The agent's work: look a rate up for each invoice, pay for each, and add the euro up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final, Protocol

from aisa.demo.invoice import Invoice
from aisa.demo.outcome import Job
from aisa.errors import AisaError

IN_FLIGHT: Final = 32
PRICE_UNITS: Final = 100
"""$0.0001, what the seller asks for one rate."""
PROBLEMS_MAX: Final = 5


class Answered(Protocol):
    """An answer to a paid call."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def content(self) -> bytes:
        """The body."""
        ...


class Caller(Protocol):
    """Whoever pays for calls: the SDK's agent."""

    async def get(self, url: str) -> Answered:
        """Call and pay."""
        ...


class Conversion:
    """The job over one list of invoices; `count` says how far it has come."""

    def __init__(self, agent: Caller, seller: str, invoices: list[Invoice]) -> None:
        self._agent = agent
        self._seller = seller
        self._invoices = invoices
        self._latencies_ms: list[float] = []
        self._problems: list[str] = []
        self._failed = 0
        self._euro = Decimal(0)

    @property
    def count(self) -> int:
        """Calls that have an outcome."""
        return len(self._latencies_ms) + self._failed

    async def run(self, paid_units: Callable[[], int]) -> Job:
        """Convert every invoice, 32 calls in flight."""
        queue = iter(self._invoices)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(IN_FLIGHT, len(self._invoices))):
                tasks.create_task(self._work(queue))
        took_s = time.perf_counter() - began
        ordered = sorted(self._latencies_ms)
        return Job(
            calls=len(self._invoices),
            served=len(ordered),
            failed=self._failed,
            paid_units=paid_units(),
            took_s=took_s,
            p50_ms=_quantile(ordered, 0.50),
            p99_ms=_quantile(ordered, 0.99),
            euro_sum=str(self._euro),
            problems=tuple(self._problems),
        )

    async def _work(self, queue: Iterator[Invoice]) -> None:
        for invoice in queue:
            began = time.perf_counter()
            try:
                answer = await self._agent.get(self._seller + invoice.path)
            except AisaError as error:
                self._fail(f"{invoice.number}: {error}")
                continue
            if answer.status != 200:
                self._fail(f"{invoice.number}: {answer.status}")
                continue
            self._latencies_ms.append((time.perf_counter() - began) * 1000)
            self._euro += invoice.in_euro(Decimal(json.loads(answer.content)["rate"]))

    def _fail(self, problem: str) -> None:
        self._failed += 1
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(problem)


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
