from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal

from aisa.demo.invoice import sample_invoices
from aisa.demo.job import IN_FLIGHT, Conversion
from aisa.errors import BudgetExceeded


@dataclass
class Reply:
    status: int
    content: bytes = b""


class Agent:
    """Answers every call with the rate 2, the listed ones otherwise."""

    def __init__(self, **otherwise: Reply | Exception) -> None:
        self.otherwise = otherwise
        self.urls: list[str] = []
        self.now = self.most = 0

    async def get(self, url: str) -> Reply:
        self.urls.append(url)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            reply = self.otherwise.get(f"n{len(self.urls)}", Reply(200, b'{"rate":"2"}'))
            if isinstance(reply, Exception):
                raise reply
            return reply
        finally:
            self.now -= 1


async def test_every_invoice_is_looked_up_once_and_added_up() -> None:
    invoices = list(sample_invoices(100))
    agent = Agent()
    job = await Conversion(agent, "http://s", invoices).run(lambda: 7)
    assert sorted(agent.urls) == sorted("http://s" + one.path for one in invoices)
    assert (job.calls, job.served, job.failed, job.paid_units) == (100, 100, 0, 7)
    assert Decimal(job.euro_sum) == sum(one.in_euro(Decimal(2)) for one in invoices)
    assert job.p50_ms <= job.p99_ms
    assert job.calls_per_s > 0
    assert agent.most <= IN_FLIGHT


async def test_what_fails_is_counted_and_the_first_problems_are_told() -> None:
    refused = {f"n{n}": BudgetExceeded("too dear") for n in range(1, 9)}
    agent = Agent(**refused, n20=Reply(503, json.dumps({}).encode()))
    job = await Conversion(agent, "http://s", list(sample_invoices(40))).run(lambda: 0)
    assert (job.served, job.failed) == (31, 9)
    assert len(job.problems) == 5
    assert "too dear" in job.problems[0]


async def test_no_invoice_is_no_work() -> None:
    job = await Conversion(Agent(), "http://s", []).run(lambda: 0)
    assert (job.calls, job.served, job.calls_per_s) == (0, 0, 0.0)
