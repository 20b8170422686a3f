"""A process that posts without end and prints each id once it is acknowledged."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from aisa import faults
from aisa.ledger import (
    Command,
    Floor,
    Hold,
    OpenAccount,
    PostHold,
    PutRecord,
    Reason,
    Transfer,
    require_applied,
)
from aisa.ledger.sqlite import SqliteStore

NET, ANN, BOB = "network:test:T", "account:ann:aiUSD", "account:bob:aiUSD"
WORKERS = 16


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def command(worker: int, number: int) -> Command:
    own_id = f"{worker}-{number}"
    hold = Hold(f"{own_id}-h", ANN, BOB, 5, "aiUSD", "test", now_ms() + 5)
    return (
        Transfer(own_id, NET, ANN, 10, "aiUSD", "test"),
        hold,
        PutRecord("last", str(worker), number, own_id.encode()),
        *((PostHold(f"{own_id}-p", hold.id, 3),) if number % 2 else ()),
    )


async def post_without_end(store: SqliteStore, worker: int) -> None:
    record = await store.record("last", str(worker))
    number = 0 if record is None else record.version
    while True:
        outcome = await store.post(command(worker, number))
        if outcome.reason is Reason.EXPIRY_PASSED:
            continue  # a busy machine took longer than the hold was to last
        require_applied(outcome)
        os.write(1, f"{worker}-{number}\n".encode())
        number += 1


async def main(path: Path) -> None:
    faults.arm(os.environ)
    async with await SqliteStore.open(path, clock=now_ms) as store, asyncio.TaskGroup() as tasks:
        opened = (
            OpenAccount(NET, "aiUSD", Floor.NONE),
            OpenAccount(ANN, "aiUSD", Floor.NOT_NEGATIVE),
            OpenAccount(BOB, "aiUSD", Floor.NOT_NEGATIVE),
        )
        require_applied(await store.post(opened))
        for worker in range(WORKERS):
            tasks.create_task(post_without_end(store, worker))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
