"""The entry point: imports next to nothing, so that a thin install gets a sentence, not a trace."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        from aisa.cli.application import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "aisa":
            raise
        print(
            f"aisa: the command line needs the package {error.name!r}, which is not installed\n"
            "hint: pip install 'aisa-node[all]'",
            file=sys.stderr,
        )
        return 2
    return run(given)
