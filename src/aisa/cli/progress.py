"""Progress on standard error for whatever takes longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

from aisa.cli.interruption import INTERRUPTION

QUIET_S: Final = 1.0
_TERMINAL_EVERY_S: Final = 0.1
_LOG_EVERY_S: Final = 5.0


class Progress:
    """One line that tells what is going on; silent for the first second and when `quiet`.

    On a terminal the line is rewritten; elsewhere a new line appears every five seconds.
    """

    def __init__(
        self,
        *,
        quiet: bool,
        stream: TextIO | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        check: Callable[[], None] = INTERRUPTION.check,
    ) -> None:
        self._check = check
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._monotonic = monotonic
        self._next = monotonic() + QUIET_S
        self._drawn = False
        self._terminal = self._stream.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line off a terminal, so that something else can be written there."""
        if self._drawn and self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False

    def __call__(self, text: str) -> None:
        """Say what is going on now; raises KeyboardInterrupt if a stop was asked for."""
        self._check()
        now = self._monotonic()
        if self._quiet or now < self._next:
            return
        self._stream.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        self._stream.flush()
        self._drawn = True
        self._next = now + (_TERMINAL_EVERY_S if self._terminal else _LOG_EVERY_S)

    def count(self, what: str, done: int, total: int) -> None:
        """Say how far something counted has come."""
        share = done * 100 // total if total else 100
        self(f"{what} {done:,} of {total:,} ({share} %)")
