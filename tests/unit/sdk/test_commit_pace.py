"""Short commits stay on the loop while the disk is quick, and go to a thread when it is not."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from aisa.sdk.async_driver import AsyncDriver
from aisa.sdk.commit_pace import ASIDE_MIN, SLOW_S, CommitPace
from aisa.sdk.step import Dance, Send, run, run_short


def test_a_quick_disk_is_waited_for_on_the_loop():
    pace = CommitPace()
    for _ in range(100):
        assert pace.may_stay()
        pace.note(0.0003)


def test_a_slow_commit_sends_the_next_ones_aside_and_twice_as_many_the_next_time():
    pace = CommitPace()
    for expected in (ASIDE_MIN, 2 * ASIDE_MIN, 4 * ASIDE_MIN):
        assert pace.may_stay()
        pace.note(SLOW_S)
        aside = 0
        while not pace.may_stay():
            aside += 1
        assert aside == expected


def test_a_disk_that_was_slow_once_is_trusted_again():
    pace = CommitPace()
    pace.note(SLOW_S)
    for _ in range(ASIDE_MIN):
        assert not pace.may_stay()
    for _ in range(ASIDE_MIN):
        pace.note(0.0001)
    pace.note(SLOW_S)
    assert [pace.may_stay() for _ in range(ASIDE_MIN + 1)] == [False] * ASIDE_MIN + [True]


def test_a_disk_that_is_mostly_quick_is_seldom_left():
    pace = CommitPace()
    stayed = 0
    for _ in range(1000):
        if pace.may_stay():
            stayed += 1
            pace.note(SLOW_S if stayed % 4 == 0 else 0.0003)
    assert stayed > 400


async def _never(request: Send) -> Any:
    raise AssertionError(request)


def _where() -> str:
    return threading.current_thread().name


def _short_then_long() -> Dance[tuple[str, str]]:
    short = yield from run_short(_where)
    long = yield from run(_where)
    return short, long


async def test_only_a_short_commit_stays_on_the_loop():
    driver = AsyncDriver(_never, lambda url, signer: None)  # type: ignore[arg-type,return-value]
    short, long = await driver.drive(_short_then_long())
    assert short == threading.current_thread().name
    assert long.startswith("aisa-wallet")
    await driver.close()


async def test_a_short_commit_waits_behind_a_job_in_the_thread():
    driver = AsyncDriver(_never, lambda url, signer: None)  # type: ignore[arg-type,return-value]
    order: list[str] = []

    def work(name: str, seconds: float) -> str:
        time.sleep(seconds)
        order.append(name)
        return _where()

    first = asyncio.create_task(driver.drive(run(lambda: work("long", 0.05))))
    await asyncio.sleep(0)
    second = await driver.drive(run_short(lambda: work("short", 0.0)))
    await first
    assert order == ["long", "short"]
    assert second.startswith("aisa-wallet")
    await driver.close()
