"""Fuzz the wire's parsers: `python -m tests.fuzz.run [--cases N] [--seed S] [parser …]`.

The rule for every input: it is refused with an error of ours, or it parses to a value whose
canonical form parses to an equal value and is written the same again. Nothing else may happen, and
nothing may take longer than `CPU_S_MAX` of processor time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.fuzz.generators import mutate_bytes, mutate_json, mutate_text
from tests.fuzz.targets import TARGETS, Inner, Input, Target

CASES: Final = 10_000
CPU_S_MAX: Final = 1.0
FAILURES_MAX: Final = 5


@dataclass(slots=True)
class Stats:
    """What came of one parser's cases; `failures` name the input and what went wrong."""

    parser: str
    seed: int
    cases: int = 0
    accepted: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def run(parser: str, cases: int = CASES, seed: int = 1) -> Stats:
    """Try `cases` inputs on one parser; the same seed gives the same inputs.

    It stops at the fifth failure. Raises KeyError for a parser that is not in TARGETS.
    """
    target = TARGETS[parser]
    stats = Stats(parser, seed)
    started = time.perf_counter()
    for data in _inputs(target, cases, Random(f"{parser} {seed}")):
        before = time.process_time()
        _try(target, data, stats)
        spent = time.process_time() - before
        stats.cases += 1
        stats.slowest_s = max(stats.slowest_s, spent)
        if spent > CPU_S_MAX:
            stats.failures.append(f"took {spent:.2f} s: {_short(data)}")
        if len(stats.failures) >= FAILURES_MAX:
            break
    stats.seconds = time.perf_counter() - started
    return stats


def _inputs(target: Target, cases: int, random: Random) -> Iterator[Input]:
    yield from target.seeds[:cases]
    for _ in range(cases - len(target.seeds)):
        yield _input(target, random)


def _input(target: Target, random: Random) -> Input:
    seed = target.seeds[random.randrange(len(target.seeds))]
    style = random.random()
    if style < 0.02:
        noise = random.randbytes(random.randint(0, 200))
        return noise if isinstance(seed, bytes) else noise.decode("latin-1")
    if target.inner is Inner.NOTHING or style < 0.25:
        return _mutate(seed, target, random)
    inner = target.unwrap(seed)
    if target.inner is Inner.JSON:
        changed = mutate_json(inner, random)
    else:
        changed = mutate_bytes(inner, random)
    data = target.wrap(changed)
    return _mutate(data, target, random) if style > 0.95 else data


def _mutate(data: Input, target: Target, random: Random) -> Input:
    if isinstance(data, bytes):
        return mutate_bytes(data, random)
    return mutate_text(data, random, tuple(str(seed) for seed in target.seeds))


def _try(target: Target, data: Input, stats: Stats) -> None:
    step = "is neither parsed nor refused"
    try:
        value = target.parse(data)
        stats.accepted += 1
        step = "cannot be written and parsed again"
        written = target.write(value)
        again = target.parse(written)
        if again != value:
            stats.failures.append(f"parses to another value once written: {_short(data)}")
        elif target.write(again) != written:
            stats.failures.append(f"has two canonical forms: {_short(data)}")
    except target.refusals as error:
        if step.startswith("is"):
            stats.refused += 1
        else:
            stats.failures.append(f"{step}: {error}: {_short(data)}")
    except Exception as error:  # noqa: BLE001 - whatever escapes is what this looks for
        stats.failures.append(f"{step}: {type(error).__name__}: {error}: {_short(data)}")


def _short(data: Input) -> str:
    text = repr(data)
    return text if len(text) <= 2_000 else f"{text[:2_000]}… ({len(data)} in all)"


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description="Fuzz the wire's parsers.")
    options.add_argument("parser", nargs="*", default=list(TARGETS), help="all, if none is named")
    options.add_argument("--cases", type=int, default=CASES)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args(arguments)
    failed = 0
    for name in chosen.parser:
        stats = run(name, chosen.cases, chosen.seed)
        failed += bool(stats.failures)
        print(
            f"{name:18} {stats.cases:9,} cases  {stats.accepted:9,} accepted"
            f"  {stats.seconds:7.1f} s  slowest {stats.slowest_s * 1000:6.1f} ms"
        )
        for failure in stats.failures:
            print(f"  {failure}")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
