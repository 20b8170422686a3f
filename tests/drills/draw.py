"""Which points are drilled: every failpoint first, then seeded draws over all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from random import Random
from typing import Final

from tests.drills.report import ROOT, Key, Point, Report, Result

_HIT: Final = re.compile(r'hit\(f?"([a-z]+\.[a-z-]+\.(?:before|after))"\)')
_NODE_COMMIT: Final = re.compile(r'commit\(\s*self\._store,\s*"([a-z-]+)"')
_WALLET_COMMIT: Final = re.compile(r'self\._commit\("([a-z-]+)"\)')
_ROOMS: Final = {
    "node": ("ledger", "node", "solana"),
    "seller": ("seller",),
    "agent": ("agent",),
    "store": (),
}
SELDOM: Final = {
    "agent.drop": "the node refuses an opening that the agent has seen the money for",
    "node.facilitated": "an x402 payment was settled: tests/integration/test_node_facilitator.py",
    "node.facilitation": "an x402 payment is to be settled: as above",
    "agent.unknown": "a caller without a call_id goes away before the answer comes",
    "seller.sale": "a call is paid by x402; tests/integration/test_paywall_x402_kill.py kills there",
    "seller.settle": "a call is paid by x402; tests/integration/test_paywall_x402_kill.py kills there",
}
"""Nouns of failpoints that the standard job does not pass by itself, and when they are passed."""


@cache
def failpoints(target: str) -> frozenset[str]:
    """Every failpoint that the source names for a target, those that are seldom passed aside."""
    found: set[str] = set()
    for path in (ROOT / "src" / "aisa").rglob("*.py"):
        text = path.read_text()
        found |= set(_HIT.findall(text))
        for pattern, room in ((_NODE_COMMIT, "node"), (_WALLET_COMMIT, "agent")):
            for noun in pattern.findall(text):
                found |= {f"{room}.{noun}.before", f"{room}.{noun}.after"}
    return frozenset(
        name
        for name in found
        if name.split(".")[0] in _ROOMS[target] and name.rpartition(".")[0] not in SELDOM
    )


AGAIN_SHARE: Final = 0.3


class Draw:
    """Hands out a target's points until enough of them have been drilled."""

    def __init__(
        self, target: str, wanted: int, seed: int, report: Report, *, every: bool = True
    ) -> None:
        self.target = target
        self.wanted = wanted
        self._seed = seed
        self._random = Random(f"{seed} {target}")
        self._report = report
        self._every = every
        self._given: set[Key] = set()
        self._first: list[str] = []
        self._counts: dict[str, int] = {}
        self._tries = 0

    def learn(self, counts: Mapping[str, int]) -> None:
        """Take in how often the standard job passes each failpoint."""
        if self._counts:
            return
        self._counts = dict(sorted(counts.items()))
        names = [name for name in self._counts if name in failpoints(self.target)]
        names = names or list(self._counts)
        self._random.shuffle(names)
        self._first = names if self._every else names[: self.wanted]

    @property
    def missing(self) -> list[str]:
        """Failpoints without a single green point."""
        green = {one.point.failpoint for one in self._report.of(self.target, Result.GREEN)}
        wanted = failpoints(self.target) or set(self._counts)
        return sorted(wanted - green)

    @property
    def done(self) -> int:
        return len(self._report.of(self.target, Result.GREEN)) + len(
            self._report.of(self.target, Result.RED)
        )

    def next(self) -> Point | None:
        """Return the next point, None if there are enough."""
        while self._tries < 4 * self.wanted + 100:
            self._tries += 1
            point = self._next()
            if point is None:
                return None
            if self._is_known(point):  # there are fewer failpoints than points
                point = replace(point, then=self._then())
            if not self._is_known(point):
                self._given.add(point.key)
                return point
        return None

    def _next(self) -> Point | None:
        for entry in self._report.of(self.target, Result.RED):
            if entry.point.key not in self._given:
                return entry.point
        if self._first:
            name = self._first.pop(0)
            return Point(self.target, name, self._random.randint(1, self._counts[name]), self._seed)
        if self.done < self.wanted:
            name = self._random.choice(list(self._counts))
        elif self._every and (missing := [one for one in self.missing if one in self._counts]):
            name = self._random.choice(missing)
        else:
            return None
        nth = self._random.randint(1, self._counts[name])
        then = self._then() if self._random.random() < AGAIN_SHARE else ""
        return Point(self.target, name, nth, self._seed, then)

    def _is_known(self, point: Point) -> bool:
        return point.key in self._given or self._report.is_green(point)

    def _then(self) -> str:
        """A second death, soon after the first."""
        return f"{self._random.choice(list(self._counts))}:{self._random.randint(1, 3)}"
