"""A few drills of each process, by the code of `make drills`; and that its checks can fail."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.drills.checks import check_round, check_world
from tests.drills.draw import SELDOM, Draw, failpoints
from tests.drills.killing import TARGETS, Killer
from tests.drills.report import Entry, Point, Report, Result
from tests.drills.round import Round

CALLS = 12
POINTS = 3
SEED = 20
REACHED = {
    "node": {
        "ledger.commit.before": 12,
        "ledger.commit.after": 12,
        "node.opening.before": 1,
        "node.withdrawal.after": 1,
        "node.redemption.after": 1,
        "solana.send.after": 1,
    },
    "seller": {
        "seller.commit.before": 8,
        "seller.commit.after": 8,
        "seller.send.before": CALLS,
        "seller.send.after": CALLS,
        "seller.redeem.before": 1,
        "seller.redeem.after": 1,
    },
    "agent": {
        "agent.plan.after": 1,
        "agent.lease.before": 3,
        "agent.send.before": CALLS,
        "agent.send.after": CALLS,
        "agent.topup.after": 1,
        "agent.close.before": 1,
    },
}
"""How often even a short job passes these, so that every point is reached."""


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.serial
@pytest.mark.timeout(400)
@pytest.mark.parametrize("target", TARGETS)
def test_a_process_that_is_killed_loses_and_repeats_nothing(target: str, tmp_path: Path) -> None:
    report = Report(tmp_path / "drills.json", fresh=True)
    report.baselines[target] = REACHED[target]
    draw = Draw(target, POINTS, SEED, report, every=False)
    killer = Killer("0", report, CALLS, in_memory=True)

    async def drill() -> list[str]:
        await killer.drill(draw, asyncio.Lock(), keep_world=True)
        try:
            assert killer.world is not None
            return await check_world(killer.world) or await tampered(killer, target)
        finally:
            await killer.end_world()

    try:
        found = asyncio.run(drill())
    finally:
        killer.clean()
    points = json.loads(report.path.read_text())["points"]
    faults = {str(one.point): one.facts for one in report.of(target, Result.RED)}
    assert not faults
    assert [one["outcome"] for one in points] == ["green"] * POINTS, points
    assert found == ["caught"], found


async def tampered(killer: Killer, target: str) -> list[str]:
    """Play a round without a kill, falsify a file, and see whether the checks tell."""
    world = killer.world
    assert world is not None
    await world.start(target)
    played = Round(world, 900, target, CALLS)
    await played.play()
    if found := await check_round(played):
        return found
    seller, wallet = world.home / "seller" / "seller.sqlite", played.agent_home / "wallet.sqlite"
    match target:
        case "node":  # a unit that nobody had
            change(world.ledger, "UPDATE balance SET credits_posted = credits_posted + 1")
        case "seller":  # a charge that is gone
            change(seller, "DELETE FROM charge WHERE place = (SELECT max(place) FROM charge)")
        case _:  # a call whose outcome nobody knows
            change(wallet, "UPDATE calls SET state = 'unknown'")
    return ["caught"] if await check_round(played) else ["not caught"]


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, timeout=30)) as db, db:
        assert db.execute(statement).rowcount


def entry(point: Point, outcome: Result) -> Entry:
    return Entry(point, outcome, 1.0, outcome is Result.GREEN)


def test_every_failpoint_of_a_room_is_found_in_its_source() -> None:
    assert "ledger.commit.before" in failpoints("node")
    assert {"node.redemption.after", "solana.send.before"} <= failpoints("node")
    assert {"seller.commit.after", "seller.send.after"} <= failpoints("seller")
    assert {"agent.lease.before", "agent.send.after"} <= failpoints("agent")
    for target in TARGETS:
        named = {name.rpartition(".")[0] for name in failpoints(target)}
        assert all({f"{noun}.before", f"{noun}.after"} <= failpoints(target) for noun in named)
        assert not named & set(SELDOM)


def test_a_draw_hands_out_every_failpoint_and_then_enough(tmp_path: Path) -> None:
    report = Report(tmp_path / "drills.json", fresh=True)
    draw = Draw("seller", 30, 1, report)
    draw.learn(dict.fromkeys(failpoints("seller"), 40))
    random = Random(1)
    while (point := draw.next()) is not None:
        reached = random.random() < 0.7
        report.add(entry(point, Result.GREEN if reached else Result.UNREACHED))
    assert len(report.of("seller", Result.GREEN)) >= 30
    assert draw.missing == []


def test_a_report_is_resumed_green_points_are_skipped_and_red_ones_drawn_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "drills.json"
    report = Report(path, fresh=True)
    report.baselines["seller"] = {"seller.commit.before": 5}
    green, red = (Point("seller", "seller.commit.before", nth, 1) for nth in (1, 2))
    report.add(entry(green, Result.GREEN))
    report.add(entry(red, Result.RED))
    resumed = Report(path)
    assert resumed.is_green(green)
    draw = Draw("seller", 3, 1, resumed)
    draw.learn(resumed.baselines["seller"])
    given = {point for _ in range(3) if (point := draw.next()) is not None}
    assert green not in given
    assert red in given
    resumed.tree = "another"
    resumed.write()
    assert not Report(path).entries
