"""`python -m aisa` is the command `aisa`."""

from __future__ import annotations

import sys

from aisa.cli import main

if __name__ == "__main__":
    sys.exit(main())
