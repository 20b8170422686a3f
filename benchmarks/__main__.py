"""`python -m benchmarks`: measure every claim, write build/bench.json, print a table."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from benchmarks import ledger_claim, many_channels, minute, same_app, sdk_duel
from benchmarks.bench import Bench, Group, say
from benchmarks.claim import ROUNDS_MIN, Claim, table, write
from benchmarks.disk import commit_ms
from benchmarks.worker import ROOT

ROUNDS = 9
QUIET_LOAD = 1.0
GROUPS = (sdk_duel.GROUP, same_app.GROUP, ledger_claim.GROUP, many_channels.GROUP, minute.GROUP)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [name for group in GROUPS for name in (group.name, *group.claims)]
    parser.add_argument("--only", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"{ROUNDS_MIN} or more count")
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, few calls: a look, no claim"
    )
    parser.add_argument("--keep", action="store_true", help="keep the scratch files and logs")
    return parser.parse_args()


def _measure(groups: list[Group], bench: Bench) -> tuple[list[Claim], int]:
    claims: list[Claim] = []
    failed = 0
    for group in groups:
        started = time.perf_counter()
        try:
            claims += group.measure(bench)
        except Exception:  # noqa: BLE001 - the other groups are still worth measuring
            traceback.print_exc()
            failed += 1
        say(f"{group.name}: {time.perf_counter() - started:.0f} s")
    return claims, failed


def main() -> int:
    """Return 0 if every claim that applies holds."""
    arguments = _arguments()
    groups = [g for g in GROUPS if arguments.only in {None, g.name, *g.claims}]
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=build))
    rounds = 2 if arguments.quick else arguments.rounds
    bench = Bench(folder, rounds, commit_ms(folder), quick=arguments.quick)
    say(f"a durable commit takes {bench.commit_ms:.3f} ms here")
    if os.getloadavg()[0] > QUIET_LOAD:
        say(
            f"the machine is busy (load {os.getloadavg()[0]:.1f}): figures will be worse than they are"
        )
    claims, failed = _measure(groups, bench)
    if not (arguments.keep or failed):
        _remove(folder)
    part = arguments.only or ("quick" if arguments.quick else "")
    output = build / (f"bench-{part}.json" if part else "bench.json")
    write(claims, output)
    print(table(claims))
    print(f"\nwritten to {output.relative_to(ROOT)}")
    return 1 if failed or any(c.applies and not c.holds for c in claims) else 0


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


if __name__ == "__main__":
    sys.exit(main())
