"""Progress on standard error for whatever takes longer than a second."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

from aisa.cli.interruption import INTERRUPTION

QUIET_S: Final = 1.0
_TERMINAL_EVERY_S: Final = 0.1
_LOG_EVERY_S: Final = 5.0
_TICK_S: Final = 0.25


class Progress:
    """One line that tells what is going on; silent for the first second and when `quiet`.

    On a terminal the line is rewritten; elsewhere a new line appears every five seconds. A thread
    shows the last words of somebody who is kept waiting and cannot say anything new.
    """

    def __init__(
        self,
        *,
        quiet: bool,
        stream: TextIO | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        check: Callable[[], None] = INTERRUPTION.check,
        is_ticking: bool = True,
    ) -> None:
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._monotonic = monotonic
        self._check = check
        self._next = monotonic() + QUIET_S
        self._text = ""
        self._is_drawn = False
        self._is_terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = None if quiet or not is_ticking else threading.Thread(target=self._tick)

    def __enter__(self) -> Self:
        if self._ticker is not None:
            self._ticker.daemon = True
            self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()
        self.clear()

    def clear(self) -> None:
        """Take the line off a terminal, so that something else can be written there."""
        with self._lock:
            if self._is_drawn and self._is_terminal:
                self._stream.write("\r\x1b[K")
                self._stream.flush()
            self._is_drawn = False
            self._text = ""

    def __call__(self, text: str) -> None:
        """Say what is going on now; raises KeyboardInterrupt if a stop was asked for."""
        self._check()
        with self._lock:
            self._text = text
        self._draw()

    def count(self, what: str, done: int, total: int) -> None:
        """Say how far something counted has come."""
        share = done * 100 // total if total else 100
        self(f"{what} {done:,} of {total:,} ({share} %)")

    def _draw(self) -> None:
        with self._lock:
            now = self._monotonic()
            if self._quiet or not self._text or now < self._next:
                return
            self._stream.write(f"\r\x1b[K{self._text}" if self._is_terminal else f"{self._text}\n")
            self._stream.flush()
            self._is_drawn = True
            self._next = now + (_TERMINAL_EVERY_S if self._is_terminal else _LOG_EVERY_S)

    def _tick(self) -> None:
        while not self._over.wait(_TICK_S):
            self._draw()
