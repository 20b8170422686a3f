"""One agent that starts a payment every millisecond, whatever happens to those before it.

Reads JSON lines: `{"do": "open"}` pays for one call, `{"do": "run", "rate", "seconds"}` is answered
with `{"windows": [on time, …], "served", "refused", "p50_ms", "p99_ms", "charged_units"}`, and
`{"do": "close"}` with the agent's own total. A call is on time when its answer, paid and with a
receipt, was there within two seconds of the moment it was due; it counts in the window it was due in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aisa.errors import AisaError
from aisa.sdk import UNLIMITED, AsyncAgent, Outcome

OK = 200
WINDOW_S = 10
LATE_S = 2.0
STEP_S = 0.005


@dataclass
class Tally:
    """What came of the calls, by the window they were due in."""

    windows: list[int]
    served: int = 0
    refused: int = 0
    charged_units: int = 0
    times_ms: list[float] = field(default_factory=list)


async def _pay(agent: AsyncAgent, url: str, due: float, window: int, tally: Tally) -> None:
    try:
        answer = await agent.get(url)
    except AisaError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        tally.refused += 1
        return
    payment = answer.payment
    if answer.status != OK or payment is None or payment.outcome is not Outcome.SETTLED:
        tally.refused += 1
        return
    took = time.perf_counter() - due
    tally.served += 1
    tally.charged_units += payment.charged.units
    tally.windows[window] += took <= LATE_S
    tally.times_ms.append(took * 1000)


async def _run(agent: AsyncAgent, url: str, rate: int, seconds: int) -> dict[str, Any]:
    total = rate * seconds
    tally = Tally([0] * (seconds // WINDOW_S))
    start = time.perf_counter()
    sent = 0
    async with asyncio.TaskGroup() as group:
        while sent < total:
            due = min(total, int((time.perf_counter() - start) * rate) + 1)
            for number in range(sent, due):
                at = start + number / rate
                window = number // (rate * WINDOW_S)
                group.create_task(_pay(agent, url, at, window, tally))
            sent = max(sent, due)
            await asyncio.sleep(STEP_S)
    times = sorted(tally.times_ms) or [0.0]
    return {
        "windows": tally.windows,
        "served": tally.served,
        "refused": tally.refused,
        "charged_units": tally.charged_units,
        "seconds": time.perf_counter() - start,
        "p50_ms": statistics.median(times),
        "p99_ms": times[len(times) * 99 // 100],
    }


async def _answer(agent: AsyncAgent, url: str, question: dict[str, Any]) -> dict[str, Any]:
    match question["do"]:
        case "open":
            await agent.__aenter__()
            first = await agent.get(url)
            return {"status": first.status}
        case "run":
            return await _run(agent, url, question["rate"], question["seconds"])
        case _:
            closed = await agent.close_channels()
            await agent.__aexit__(None, None, None)
            return {"redeemed": sum(one.redeemed.units for one in closed)}


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--home", required=True, type=Path)
    arguments = parser.parse_args()
    with asyncio.Runner() as runner:
        agent = AsyncAgent(arguments.home, node=arguments.node, budget=UNLIMITED)
        for line in sys.stdin:
            result = runner.run(_answer(agent, arguments.url, json.loads(line)))
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
