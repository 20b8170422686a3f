"""`python -m aisa.devnet.solana`: serve a Solana devnet until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from aisa.devnet.solana.devnet import Devnet
from aisa.devnet.solana.genesis import LABEL, Genesis
from aisa.devnet.solana.server import serve
from aisa.errors import AisaError


def main(argv: list[str] | None = None) -> int:
    """Serve; prints one line of JSON with url, network and mints once it listens."""
    parser = argparse.ArgumentParser("aisa.devnet.solana", description=LABEL)
    parser.add_argument("--port", type=int, default=8899, help="0 takes a free one")
    parser.add_argument("--state", type=Path, help="file to go on from, and to save to at the end")
    parser.add_argument("--ready-file", type=Path, help="file to write the line of JSON to")
    parser.add_argument("--ready-fd", type=int, help="descriptor to write the line of JSON to")
    parser.add_argument("--seed", default="aisa", help="what the devnet's keys are made from")
    parser.add_argument("--slot-ms", type=int, default=400)
    parser.add_argument("--confirm-slots", type=int, default=0, help="1 on the real network")
    parser.add_argument("--finalize-slots", type=int, default=2, help="32 on the real network")
    options = parser.parse_args(argv)
    genesis = Genesis(options.seed, options.slot_ms, options.confirm_slots, options.finalize_slots)
    try:
        devnet = Devnet(genesis, path=options.state)
        ready = _Announcement(devnet, options.ready_file, options.ready_fd)
        asyncio.run(serve(devnet, port=options.port, ready=ready))
    except (AisaError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


class _Announcement:
    """Tells a starter where the devnet listens, in the ways that it asked for."""

    def __init__(self, devnet: Devnet, file: Path | None, descriptor: int | None) -> None:
        self._devnet = devnet
        self._file = file
        self._descriptor = descriptor

    def __call__(self, url: str) -> None:
        line = json.dumps(self._devnet.card(url))
        if self._file is not None:
            draft = self._file.with_name(self._file.name + ".new")
            draft.write_text(line + "\n")
            draft.replace(self._file)
        if self._descriptor is not None:
            with open(self._descriptor, "w", closefd=True) as pipe:
                pipe.write(line + "\n")
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
