"""Workers: each outlives any error but one, and goes on from the ledger."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from aisa.client import WithdrawalState
from aisa.errors import LedgerStopped, RailUnavailable
from aisa.node.workers.chores import chores, work
from aisa.node.workers.supervision import keep_running
from tests.unit.node.house import ALICE, ASSET, BOB, House, open_house

M = 1_000_000


async def until(probe: object, wait_s: float = 10.0) -> None:
    async with asyncio.timeout(wait_s):
        while not await probe():  # type: ignore[operator] # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_worker_starts_again_after_any_error(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    async def step() -> float:
        seen.append(len(seen))
        if len(seen) == 1:
            raise ZeroDivisionError("unforeseen")
        if len(seen) == 2:
            raise RailUnavailable("silent")
        if len(seen) == 4:
            raise LedgerStopped("closed")
        return 0

    with caplog.at_level(logging.WARNING), pytest.raises(LedgerStopped):
        await keep_running("work", step, backoff_s=0.001)
    assert len(seen) == 4
    assert "unforeseen" in caplog.text
    assert "silent" in caplog.text


async def test_the_workers_credit_pay_out_and_check(house: House) -> None:
    working = asyncio.create_task(work(house.services))
    try:
        async with house.client(ALICE) as alice:
            given = await alice.deposit_address(ASSET)
            token = house.services.withdrawals.token_of(ASSET)
            house.network.mint("memory:outside", token, 2 * M)
            house.network.pay("memory:outside", given.address, token, 2 * M)

            async def is_credited() -> bool:
                return (await alice.account()).available("aiUSD") == 2 * M

            await until(is_credited)
            house.network.delays = 1
            first = await alice.withdraw("w", ASSET, M, "memory:there", 0)
            assert first.state is WithdrawalState.UNKNOWN
            house.network.land_delayed()

            async def is_settled() -> bool:
                return (await alice.withdrawal("w")).state is WithdrawalState.SETTLED

            await until(is_settled)
        assert {"closing channels", "solvency", "deposits on aisa:memory"} <= set(
            chores(house.services)
        )
    finally:
        working.cancel()
        await asyncio.wait([working])


async def test_a_withdrawal_goes_on_when_the_network_is_back(house: House) -> None:
    await house.fund(ALICE, 2 * M)
    working = asyncio.create_task(work(house.services))
    try:
        async with house.client(ALICE) as alice:
            house.network.delay_s = 0.001
            original = house.services.rails[0].send

            async def silent(outgoing: object) -> object:
                raise RailUnavailable("not now")

            house.services.rails[0].send = silent  # type: ignore[method-assign]
            pending = await alice.withdraw("w", ASSET, M, "memory:there", 0)
            assert pending.state is WithdrawalState.PENDING
            house.services.rails[0].send = original  # type: ignore[method-assign]

            async def is_settled() -> bool:
                return (await alice.withdrawal("w")).state is WithdrawalState.SETTLED

            await until(is_settled)
    finally:
        working.cancel()
        await asyncio.wait([working])


async def test_a_ledger_that_stopped_ends_the_work(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.fund(ALICE, 2 * M)
        working = asyncio.create_task(work(house.services))
        await house.services.store.close()
        async with house.client(BOB) as bob:
            with pytest.raises(LedgerStopped):
                await bob.deposit_address(ASSET)
        with pytest.raises(LedgerStopped):
            await asyncio.wait_for(working, 10)
