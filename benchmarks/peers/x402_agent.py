"""The official x402 SDK as an agent: opens, runs and closes loads, and prints what came of each.

Reads JSON lines from standard input: `{"do": "open", "path", "in_flight", "agents"}`,
`{"do": "run", "calls"}`, `{"do": "close"}`. A run is answered with `{"served", "refused",
"seconds", "p50_ms", "p99_ms"}`. Opening makes fresh connections, fresh keys and fresh channels; it
and one warm-up call of each agent are outside the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from eth_account import Account
from x402 import x402Client
from x402.http.clients.httpx import x402HttpxClient
from x402.mechanisms.evm.batch_settlement.client import (
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeOptions,
)

NETWORK = "eip155:84532"
DEPOSIT_UNITS = "1000000000"
OK = 200


@dataclass
class Load:
    """What is open, and the counts of the run that goes on."""

    path: str
    in_flight: int
    clients: list[httpx.AsyncClient]
    served: int = 0
    refused: int = 0
    times_ms: list[float] = field(default_factory=list)


def _client(path: str, url: str, in_flight: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    if path == "/free":
        return httpx.AsyncClient(base_url=url, limits=limits, timeout=60)
    payer = x402Client()
    options = BatchSettlementEvmSchemeOptions(deposit_strategy=lambda _context: DEPOSIT_UNITS)
    payer.register(NETWORK, BatchSettlementEvmScheme(Account.create(), options))
    return x402HttpxClient(payer, base_url=url, limits=limits, timeout=60)


async def _open(url: str, path: str, in_flight: int, agents: int) -> Load:
    clients = [_client(path, url, in_flight) for _ in range(agents)]
    for client in clients:
        (await client.get(path)).raise_for_status()
    return Load(path, in_flight, clients)


async def _worker(load: Load, client: httpx.AsyncClient, left: list[int]) -> None:
    while left[0] > 0:
        left[0] -= 1
        started = time.perf_counter()
        try:
            status = (await client.get(load.path)).status_code
        except Exception as error:  # noqa: BLE001 - the SDK raises many kinds; each is one refusal
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            status = 0
        if status == OK:
            load.served += 1
            load.times_ms.append((time.perf_counter() - started) * 1000)
        else:
            load.refused += 1


async def _run(load: Load, calls: int) -> dict[str, Any]:
    load.served, load.refused, load.times_ms = 0, 0, []
    agents = len(load.clients)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for client in load.clients:
            left = [calls // agents]
            for _ in range(load.in_flight // agents or 1):
                group.create_task(_worker(load, client, left))
    seconds = time.perf_counter() - started
    times = sorted(load.times_ms) or [0.0]
    return {
        "served": load.served,
        "refused": load.refused,
        "seconds": seconds,
        "p50_ms": statistics.median(times),
        "p99_ms": times[len(times) * 99 // 100],
    }


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    url = parser.parse_args().url
    load = Load("", 0, [])
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            question = json.loads(line)
            result: dict[str, Any] = {}
            match question.pop("do"):
                case "open":
                    load = runner.run(_open(url, **question))
                case "run":
                    result = runner.run(_run(load, **question))
                case _:
                    for client in load.clients:
                        runner.run(client.aclose())
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
