"""The official x402 SDK as an agent: runs one load a line and prints what came of it.

Reads `{"path", "calls", "in_flight", "agents"}` as JSON lines from standard input and answers each
with `{"served", "refused", "seconds"}`. Every load has fresh connections and fresh channels; the
deposit is outside the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
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
    """One line of input, and the counts of what happened."""

    path: str
    calls: int
    in_flight: int
    agents: int
    served: int = 0
    refused: int = 0
    clients: list[httpx.AsyncClient] = field(default_factory=list)


def _client(load: Load, url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=load.in_flight, max_keepalive_connections=load.in_flight)
    if load.path == "/free":
        return httpx.AsyncClient(base_url=url, limits=limits, timeout=60)
    payer = x402Client()
    options = BatchSettlementEvmSchemeOptions(deposit_strategy=lambda _context: DEPOSIT_UNITS)
    payer.register(NETWORK, BatchSettlementEvmScheme(Account.create(), options))
    return x402HttpxClient(payer, base_url=url, limits=limits, timeout=60)


async def _worker(load: Load, client: httpx.AsyncClient, left: list[int]) -> None:
    while left[0] > 0:
        left[0] -= 1
        try:
            status = (await client.get(load.path)).status_code
        except Exception as error:  # noqa: BLE001 - the SDK raises many kinds; each is one refusal
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            status = 0
        if status == OK:
            load.served += 1
        else:
            load.refused += 1


async def run(load: Load, url: str) -> dict[str, Any]:
    """Drive one load to its end."""
    load.clients = [_client(load, url) for _ in range(load.agents)]
    for client in load.clients:
        (await client.get(load.path)).raise_for_status()
    share = load.calls // load.agents
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for client in load.clients:
            left = [share]
            for _ in range(load.in_flight // load.agents or 1):
                group.create_task(_worker(load, client, left))
    seconds = time.perf_counter() - started
    for client in load.clients:
        await client.aclose()
    return {"served": load.served, "refused": load.refused, "seconds": seconds}


def main() -> None:
    """Answer loads until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    url = parser.parse_args().url
    for line in sys.stdin:
        result = asyncio.run(run(Load(**json.loads(line)), url))
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
