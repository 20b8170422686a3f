"""Named failpoints: `hit("ledger.commit.before")` does nothing unless armed on a devnet.

`AISA_FAULTS="ledger.commit.before:17=kill"` makes the 17th hit of that point end the process with
SIGKILL. Arming is refused unless `AISA_DEVNET=1` is set too, so that a stray variable cannot hurt a
real node. Unarmed, a hit is one call and one falsy test.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from aisa.errors import ConfigInvalid

_armed: dict[str, int] = {}
_counts: dict[str, int] = {}
_count_all = False


def arm(environ: Mapping[str, str]) -> None:
    """Read `AISA_FAULTS` (comma-separated `name:nth=kill`) and arm this process.

    Raises:
        ConfigInvalid: the text is malformed, or `AISA_DEVNET` is not `1`.
    """
    global _count_all  # noqa: PLW0603 - one switch per process, set once at start
    _armed.clear()
    _counts.clear()
    _count_all = bool(environ.get("AISA_FAULTS_COUNT"))
    text = environ.get("AISA_FAULTS", "")
    if (text or _count_all) and environ.get("AISA_DEVNET") != "1":
        raise ConfigInvalid(
            "AISA_FAULTS is only for a devnet", hint="set AISA_DEVNET=1 or unset it"
        )
    for item in filter(None, text.split(",")):
        point, separator, action = item.partition("=")
        name, colon, nth = point.partition(":")
        if not (separator and colon and name and action == "kill" and nth.isdecimal() and int(nth)):
            raise ConfigInvalid(f"AISA_FAULTS item {item!r} is not name:nth=kill")
        _armed[name] = int(nth)


def hit(name: str) -> None:
    """Pass the failpoint `name`; ends the process with SIGKILL if this hit is the armed one."""
    if not _armed and not _count_all:
        return
    _counts[name] = count = _counts.get(name, 0) + 1
    if _armed.get(name) == count:
        os.kill(os.getpid(), signal.SIGKILL)


def counts() -> Mapping[str, int]:
    """How often each point was passed since arming; counted when armed or `AISA_FAULTS_COUNT` is set."""
    return dict(_counts)
