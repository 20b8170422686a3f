"""Ctrl-C and SIGTERM: both raise KeyboardInterrupt, and are remembered should it be swallowed.

An exception that is raised from a signal can land where it is only printed (a finaliser, a callback
of an import). So those who wait in a loop ask again.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self._is_requested = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if a stop was asked for."""
        if self._is_requested:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Generator[None]:
        """Take the signals over for the time of a command."""
        self._is_requested = False
        before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
        for name, handler in before.items():
            # Whoever runs us with SIGINT ignored, as a shell's background job, means it.
            if handler is not signal.SIG_IGN:
                signal.signal(name, self._request)
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _request(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._is_requested = True
        raise KeyboardInterrupt


INTERRUPTION = Interruption()
"""This process's."""
