"""Killing one process of a world at its failpoints, over and over, and looking at what is left."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aisa.errors import AisaError
from tests.drills.agent import Wrong
from tests.drills.checks import check_round, check_world
from tests.drills.draw import Draw
from tests.drills.part import PartEnded
from tests.drills.report import ROOT, Entry, Point, Report, Result
from tests.drills.round import CALLS, Round
from tests.drills.world import StepFailed, World

TARGETS: Final = ("node", "seller", "agent")
ROUNDS_MAX: Final = 25
RED_FOLDER: Final = ROOT / "build" / "drills-red"
_REDS_KEPT: Final = 12
_CLOSING_S: Final = {"node": 2, "agent": 8, "seller": 3600}
"""The node's closing clock. Where a seller is away for a while, it must not run out meanwhile; where
an agent dies before a seller has seen its channel, only the clock brings the deposit back."""
_MEMORY: Final = Path("/dev/shm")
_FAILURES: Final = (StepFailed, PartEnded, Wrong, AisaError, OSError, TimeoutError, ExceptionGroup)


@dataclass
class Killer:
    """One lane of drills, with a world of its own that is made anew now and then."""

    name: str
    report: Report
    calls: int = CALLS
    world: World | None = None
    rounds: int = 0
    in_memory: bool = False
    _folder: Path = field(init=False)
    _worlds: int = 0

    def __post_init__(self) -> None:
        # SIGKILL leaves the page cache alone, so files in memory prove as much, and sooner. The
        # other lane stays on the disk, where commits take their time.
        is_there = self.in_memory and os.access(_MEMORY, os.W_OK)
        self._folder = Path(
            tempfile.mkdtemp(prefix="aisa-drills-", dir=_MEMORY if is_there else None)
        )

    async def drill(self, draw: Draw, baseline: asyncio.Lock, *, keep_world: bool = False) -> None:
        """Take points until there are enough."""
        try:
            async with baseline:
                if draw.target not in self.report.baselines:
                    await self._baseline(draw.target)
            draw.learn(self.report.baselines[draw.target])
            entry = None
            while (point := draw.next()) is not None:
                entry = await self._try(point)
                self.report.add(entry)
                _tell(self.name, entry, draw)
            if self.world is not None and entry is not None:
                self._blame(entry, await check_world(self.world))
        finally:
            if not keep_world:
                await self.end_world()

    def clean(self) -> None:
        """Remove every file."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _blame(self, entry: Entry, faults: list[str]) -> None:
        """The last point answers for what does not hold at the end."""
        if faults:
            entry.outcome = Result.RED
            entry.facts["faults"] = faults
            self._keep(entry.point)
            self.report.add(entry)

    async def _baseline(self, target: str) -> None:
        """Count how often the standard job passes each failpoint, from start to stop."""
        world = await self._world_for(target)
        await self._round(world, target).play()
        path = world.home / "counts.json"
        await world.start(target, counts=path)
        played = self._round(world, target)
        await played.play()
        await world.parts[target].stop()
        self.report.baselines[target] = json.loads(path.read_text())
        await world.start(target)
        if found := await check_round(played):
            raise PartEnded(f"the job does not hold even without a kill: {found}")
        self.report.write()

    async def _try(self, point: Point) -> Entry:
        began = time.monotonic()
        faults: list[str] = []
        facts: dict[str, object] = {}
        killed = False
        try:
            world = await self._world_for(point.target)
            played = self._round(world, point.target, point.then and f"{point.then}=kill")
            try:
                await self._play(world, played, point)
                faults += await check_round(played)
                if self.rounds >= ROUNDS_MAX:
                    faults += await check_world(world)
            finally:
                facts, killed = played.facts, played.kills > 0
                facts["kills"] = played.kills
        except _FAILURES as error:
            faults.append(_sentence(error))
            facts["trace"] = "".join(traceback.format_exception(error))[-3000:]
        outcome = Result.RED if faults else Result.GREEN if killed else Result.UNREACHED
        if faults:
            facts["faults"] = faults
            self._keep(point)
            await self.end_world(faultless=False)
        return Entry(point, outcome, time.monotonic() - began, killed, facts)

    async def _play(self, world: World, played: Round, point: Point) -> None:
        """Arm the target from its start on, and play the round."""
        await world.start(point.target, f"{point.failpoint}:{point.nth}=kill")
        await played.play()
        if played.kills <= bool(played.then):
            # It is still armed, and the checks shall not meet a dead process.
            await world.start(point.target)

    def _round(self, world: World, target: str, then: str = "") -> Round:
        self.rounds += 1
        return Round(world, self.rounds, target, self.calls, then)

    async def _world_for(self, target: str) -> World:
        if self.world is not None and self.rounds >= ROUNDS_MAX:
            await self.end_world()
        if self.world is None:
            self._worlds += 1
            self.rounds = 0
            self.world = World(self._folder / f"world-{self._worlds}", _CLOSING_S[target])
            await self.world.begin()
        return self.world

    async def end_world(self, *, faultless: bool = True) -> None:
        """Stop every process, and remove what is of no more use."""
        world, self.world = self.world, None
        if world is None:
            return
        with suppress(*_FAILURES):
            await world.end()
        if faultless:
            shutil.rmtree(world.home, ignore_errors=True)

    def _keep(self, point: Point) -> None:
        RED_FOLDER.mkdir(parents=True, exist_ok=True)
        if self.world is not None and len(list(RED_FOLDER.iterdir())) < _REDS_KEPT:
            name = f"{point.target}-{point.failpoint}-{point.nth}"
            self.world.keep_logs(RED_FOLDER / name)


def _sentence(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_sentence(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"


def _tell(name: str, entry: Entry, draw: Draw) -> None:
    line = f"{name} {draw.done:4}/{draw.wanted} {entry.outcome.value:9} {entry.point}"
    faults = entry.facts.get("faults")
    print(f"{line}  {entry.seconds:.1f} s{f'  {faults}' if faults else ''}", file=sys.stderr)
