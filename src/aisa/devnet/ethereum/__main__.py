"""`python -m aisa.devnet.ethereum`: keep one EVM chain running until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from aisa.devnet.ethereum.devnet import EthereumDevnet
from aisa.devnet.ethereum.setting import LABEL, SETTINGS, setting_by_name
from aisa.errors import AisaError, RailUnavailable

_POLL_S: Final = 0.1


def main(argv: list[str] | None = None) -> int:
    """Run a chain; prints its card, one JSON document, once it answers and all is deployed."""
    parser = argparse.ArgumentParser("aisa.devnet.ethereum", description=LABEL)
    names = [one.name for one in SETTINGS]
    parser.add_argument("--chain", choices=names, default=names[0])
    parser.add_argument("--artifacts", type=Path, required=True, help="compiled contracts of ours")
    parser.add_argument("--port", type=int, help="0 takes a free one; the usual one if not given")
    parser.add_argument("--folder", type=Path, help="keeps the chain over a restart")
    parser.add_argument("--ready-file", type=Path, help="file to write the card to")
    parser.add_argument("--block-time", type=int, default=0, help="seconds; 0: one per chain tx")
    options = parser.parse_args(argv)
    setting = setting_by_name(options.chain) or SETTINGS[0]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        with EthereumDevnet(
            options.artifacts,
            setting,
            folder=options.folder,
            port=setting.port if options.port is None else options.port,
            block_time_s=options.block_time,
        ) as devnet:
            _announce(devnet.card.to_json(), options.ready_file)
            while devnet.anvil.is_running:
                time.sleep(_POLL_S)
            raise RailUnavailable(f"anvil ended by itself: {devnet.anvil.last_words()}")
    except KeyboardInterrupt:
        return 0
    except (AisaError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _announce(card: bytes, file: Path | None) -> None:
    if file is not None:
        draft = file.with_name(file.name + ".new")
        draft.write_bytes(card)
        draft.replace(file)
    sys.stdout.write(card.decode())
    sys.stdout.flush()


def _stop(signum: int, frame: FrameType | None) -> None:
    del frame
    # Asked again while it stops, it goes on stopping: anvil is saving the chain.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt(signum)


if __name__ == "__main__":
    raise SystemExit(main())
