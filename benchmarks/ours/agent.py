"""Our agent: opens, runs and closes loads, and prints what came of each.

Reads the same JSON lines as the SDK's agent (`benchmarks/peers/x402_agent.py`). Opening makes a new
agent with a new wallet file, new connections and a new channel; it and the warm-up are outside the
clock. The free route is called by the same agent.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aisa.errors import AisaError
from aisa.sdk import UNLIMITED, AsyncAgent

OK = 200
DEPOSIT_MAX = "10 aiUSD"  # as with the SDK, no deposit runs out within a load


@dataclass
class Load:
    """What is open, and the counts of the run that goes on."""

    url: str
    in_flight: int
    agents: list[AsyncAgent]
    served: int = 0
    refused: int = 0
    times_ms: list[float] = field(default_factory=list)


async def _open(url: str, node: str, homes: list[Path], in_flight: int) -> Load:
    agents = [
        AsyncAgent(home, node=node, budget=UNLIMITED, deposit_max=DEPOSIT_MAX) for home in homes
    ]
    load = Load(url, in_flight, agents)
    for agent in agents:
        await agent.__aenter__()
    await _run(load, len(agents) * max(1, in_flight // len(agents)))
    return load


async def _worker(load: Load, agent: AsyncAgent, left: list[int]) -> None:
    while left[0] > 0:
        left[0] -= 1
        started = time.perf_counter()
        try:
            status = (await agent.get(load.url)).status
        except AisaError as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            status = 0
        if status == OK:
            load.served += 1
            load.times_ms.append((time.perf_counter() - started) * 1000)
        else:
            load.refused += 1


async def _run(load: Load, calls: int) -> dict[str, Any]:
    load.served, load.refused, load.times_ms = 0, 0, []
    count = len(load.agents)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for agent in load.agents:
            left = [calls // count]
            for _ in range(load.in_flight // count or 1):
                group.create_task(_worker(load, agent, left))
    seconds = time.perf_counter() - started
    times = sorted(load.times_ms) or [0.0]
    return {
        "served": load.served,
        "refused": load.refused,
        "seconds": seconds,
        "p50_ms": statistics.median(times),
        "p99_ms": times[len(times) * 99 // 100],
    }


async def _close(load: Load) -> None:
    for agent in load.agents:
        await agent.close_channels()
        await agent.__aexit__(None, None, None)


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    arguments = parser.parse_args()
    load = Load("", 0, [])
    numbers = itertools.count()
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            question = json.loads(line)
            result: dict[str, Any] = {}
            match question["do"]:
                case "open":
                    homes = [
                        arguments.folder / f"agent-{next(numbers)}"
                        for _ in range(question["agents"])
                    ]
                    url = arguments.url + question["path"]
                    load = runner.run(_open(url, arguments.node, homes, question["in_flight"]))
                case "run":
                    result = runner.run(_run(load, question["calls"]))
                case _:
                    runner.run(_close(load))
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
