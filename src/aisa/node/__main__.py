"""`python -m aisa.node --config node.toml`: a node without the command line's extras."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import sys
from pathlib import Path

from aisa.errors import AisaError
from aisa.node.config import load_config
from aisa.node.key import open_seed
from aisa.node.run import run


def main(arguments: list[str]) -> int:
    """Run a node until it is told to stop; 1 if it cannot."""
    parser = argparse.ArgumentParser(prog="python -m aisa.node", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the node.toml")
    parser.add_argument("--ready-file", type=Path, help="written when the node takes requests")
    given = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        config = load_config(given.config, os.environ)
        prompt = getpass.getpass if sys.stdin.isatty() else None
        run(config, open_seed(config, prompt), ready_file=given.ready_file)
    except AisaError as error:
        sys.stderr.write(f"aisa node: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
