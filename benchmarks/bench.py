"""What every group of claims is given, and how rounds are paired."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.claim import Claim, Pair

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bench:
    """`folder` is scratch space on the disk that is measured; `commit_ms` is what a commit costs there."""

    folder: Path
    rounds: int
    commit_ms: float
    quick: bool = False

    @property
    def logs(self) -> Path:
        return self.folder

    def scaled(self, calls: int) -> int:
        """Return how many calls to make: fewer in a quick run."""
        return max(64, calls // 8) if self.quick else calls

    def rounds_of(
        self, name: str, sides: Sequence[Callable[[], T]], *, warm_ups: int = 1
    ) -> list[tuple[T, ...]]:
        """Run every side once a round, in an order that turns round by round; warm-ups are dropped."""
        rounds: list[tuple[T, ...]] = []
        for number in range(-warm_ups, self.rounds):
            order = list(range(len(sides)))
            if number % 2:
                order.reverse()
            started = time.perf_counter()
            results = {place: sides[place]() for place in order}
            say(
                f"{name}: round {number + 1} of {self.rounds}, {time.perf_counter() - started:.1f} s"
            )
            if number >= 0:
                rounds.append(tuple(results[place] for place in range(len(sides))))
        return rounds


@dataclass(frozen=True, slots=True)
class Group:
    """Claims that are measured together."""

    name: str
    claims: tuple[str, ...]
    measure: Callable[[Bench], list[Claim]]


def command_of(name: str) -> str:
    """Return what measures one claim again."""
    return f".venv/bin/python -m benchmarks --only {name}"


def claim(
    name: str,
    target: str,
    samples: Sequence[Pair],
    *,
    unit: str,
    note: str = "",
    applies: bool = True,
) -> Claim:
    """Return a claim that knows its own command."""
    return Claim(name, unit, target, tuple(samples), command_of(name), note, applies)


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)
