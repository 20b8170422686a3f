"""Killing a process that does nothing but commit to a ledger, before and after its commits."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from tests.drills.part import KILLED, PartEnded, start
from tests.drills.report import Entry, Point, Report, Result
from tests.integration import ledger_poster
from tests.integration.test_ledger_kill import check

_POINTS = ("ledger.commit.before", "ledger.commit.after")
_NTH_MAX = 120
_POINTS_OF_ONE_FILE = 10


async def drill_store(report: Report, wanted: int, seed: int) -> int:
    """Drill the ledger's store; returns 1 if fewer points than wanted are green."""
    every = [Point("store", name, nth, seed) for name in _POINTS for nth in range(1, _NTH_MAX + 1)]
    points = Random(f"{seed} store").sample(every, wanted)
    with tempfile.TemporaryDirectory(prefix="aisa-drills-") as folder:
        for number, point in enumerate(points):
            if not report.is_green(point):
                path = Path(folder) / str(number // _POINTS_OF_ONE_FILE) / "ledger.sqlite"
                path.parent.mkdir(exist_ok=True)
                entry = await _try(point, path)
                report.add(entry)
                print(f"store {number + 1}/{wanted} {entry.outcome.value} {point}", file=sys.stderr)
    return int(any(not report.is_green(point) for point in points))


async def _try(point: Point, path: Path) -> Entry:
    began = time.monotonic()
    told = path.with_suffix(".told")
    environ = {
        "PATH": os.environ.get("PATH", ""),
        "AISA_DEVNET": "1",
        "AISA_FAULTS": f"{point.failpoint}:{point.nth}=kill",
    }
    part = start("store", post, [str(path)], environ, told)
    faults: list[str] = []
    code = None
    try:
        async with asyncio.timeout(300):
            code = await part.ended()
        if code != KILLED:
            raise PartEnded(f"the poster ended with {code}: {part.last_words()}")
        # Everything acknowledged so far, by this process and by those before it on the same file.
        lines = told.read_bytes().splitlines(keepends=True)
        await check(path, {one.decode().strip() for one in lines if one.endswith(b"\n")})
    except (PartEnded, AssertionError, TimeoutError) as error:
        faults.append(f"{type(error).__name__}: {error}")
    finally:
        with suppress(OSError):
            part.kill()
    outcome = Result.RED if faults else Result.GREEN
    facts = {"faults": faults} if faults else {}
    return Entry(point, outcome, time.monotonic() - began, code == KILLED, facts)


def post(arguments: list[str], link: Connection | None) -> None:
    asyncio.run(ledger_poster.main(Path(arguments[0])))
