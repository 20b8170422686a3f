"""Pays on many channels at once, with ticks that were made before the clock starts.

Reads JSON lines: `{"do": "open", "channels": [[id, tick key, seq], …], "calls", "in_flight"}` makes
connections and the ticks of `calls` calls on every channel, in turn; `{"do": "run"}` sends them and
is answered with `{"served", "refused", "seconds"}`. Only the seller's cost is of interest here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from aisa.protocol.aip.tick import EMPTY_BODY_DIGEST, Tick, request_digest
from benchmarks.ours.filled import PRICE_UNITS

OK = 200
PATH = "/paid"


@dataclass
class Load:
    """Ticks that are ready, and the session to send them with."""

    session: aiohttp.ClientSession
    ticks: list[str]
    in_flight: int


def _ticks(origin: str, channels: list[tuple[str, str, int]], calls: int) -> Iterator[str]:
    digest = request_digest(b"GET", origin.encode(), PATH.encode(), EMPTY_BODY_DIGEST)
    keys = [(bytes.fromhex(channel), bytes.fromhex(key), seq) for channel, key, seq in channels]
    for call in range(calls):
        for channel, key, seq in keys:
            yield Tick(channel, 0, seq + call, PRICE_UNITS).seal(key, digest)


async def _open(origin: str, question: dict[str, Any]) -> Load:
    in_flight = question["in_flight"]
    connector = aiohttp.TCPConnector(limit=in_flight)
    session = aiohttp.ClientSession(connector=connector)
    ticks = list(_ticks(origin, question["channels"], question["calls"]))
    load = Load(session, ticks, in_flight)
    await asyncio.gather(*(_get(load, origin + "/free", {}) for _ in range(in_flight)))
    return load


async def _get(load: Load, url: str, headers: dict[str, str]) -> int:
    async with load.session.get(URL(url, encoded=True), headers=headers) as answer:
        body = await answer.read()
        if answer.status != OK:
            sys.stderr.write(body.decode()[:300] + "\n")
        return answer.status


async def _run(load: Load, origin: str) -> dict[str, Any]:
    served = 0
    ticks = iter(load.ticks)

    async def worker() -> None:
        nonlocal served
        for tick in ticks:
            status = await _get(load, origin + PATH, {"Payment-Tick": tick})
            served += status == OK

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(load.in_flight):
            group.create_task(worker())
    seconds = time.perf_counter() - started
    await load.session.close()
    return {"served": served, "refused": len(load.ticks) - served, "seconds": seconds}


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    origin = parser.parse_args().url
    with asyncio.Runner() as runner:
        load: Load | None = None
        for line in sys.stdin:
            question = json.loads(line)
            if load is None:
                load = runner.run(_open(origin, question))
                result: dict[str, Any] = {}
            else:
                result = runner.run(_run(load, origin))
                load = None
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
