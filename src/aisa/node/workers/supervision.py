"""Keeps a worker running: an error is logged and it starts again, later and later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aisa.errors import LedgerStopped, RailUnavailable

BACKOFF_S_MAX: Final = 30.0
_log = logging.getLogger("aisa.node")


async def keep_running(
    name: str, step: Callable[[], Awaitable[float]], *, backoff_s: float = 0.5
) -> None:
    """Call `step` for ever; it returns how many seconds to pause.

    Raises:
        LedgerStopped: nothing can be committed any more; the process must be started again.
    """
    failures = 0
    while True:
        try:
            pause_s = await step()
            failures = 0
        except LedgerStopped:
            raise
        except RailUnavailable as error:
            failures += 1
            pause_s = _backoff(backoff_s, failures)
            _log.warning("%s: %s; again in %.1f s", name, error.detail, pause_s)
        except Exception:  # noqa: BLE001 - a worker's top: it must outlive what nobody foresaw
            failures += 1
            pause_s = _backoff(backoff_s, failures)
            _log.exception("%s failed; again in %.1f s", name, pause_s)
        await asyncio.sleep(pause_s)


def _backoff(first_s: float, failures: int) -> float:
    return min(BACKOFF_S_MAX, first_s * 2 ** min(failures - 1, 10))
