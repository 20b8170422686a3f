"""Everything that a part imports, for the process that the parts are forked from."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import aisa

for found in pkgutil.walk_packages(aisa.__path__, "aisa."):
    # What is imported when it is needed must be the same code for the whole run.
    if not found.name.endswith("__main__"):
        import_module(found.name)
for name in ("uvloop", "aisa.devnet.solana.__main__", "tests.drills.agent", "tests.drills.seller"):
    import_module(name)
