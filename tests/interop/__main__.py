"""`make interop`: every client against every server by every scheme, with tokens that move."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Final

from aisa.devnet.ethereum.devnet import EthereumDevnet
from tests.integration.anvil import ARTIFACTS
from tests.interop.cast import Cell, every_cell
from tests.interop.locks import ROOT
from tests.interop.report import table, write
from tests.interop.stage import Stage
from tests.interop.world import open_world

REPORT: Final = ROOT / "build" / "interop.json"


def main() -> int:
    """Run the cells that were asked for; 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    parser.add_argument("--client", default="", help="only clients whose name has this in it")
    parser.add_argument("--server", default="", help="only servers whose name has this in it")
    parser.add_argument("--scheme", default="", help="only this scheme")
    parser.add_argument("--keep", type=Path, help="keep the logs of all processes in this folder")
    chosen = parser.parse_args()

    def wanted(cell: Cell) -> bool:
        return (
            chosen.client in cell.client.name
            and chosen.server in cell.server.name
            and chosen.scheme in ("", cell.scheme.name)
        )

    cells = [cell for cell in every_cell() if wanted(cell)]
    with tempfile.TemporaryDirectory(prefix="aisa-interop-") as scratch:
        folder = chosen.keep or Path(scratch)
        with EthereumDevnet(ARTIFACTS) as devnet, open_world(devnet, folder) as world:
            outcomes = list(Stage(world).run(cells))
    write(outcomes, REPORT)
    print(table(outcomes))
    failed = any(one.state == "failed" for one in outcomes)
    return 1 if failed or not any(one.holds for one in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main())
