"""Where a short commit is waited for: on the loop while the disk is quick, else in a thread.

On a quick disk the wait is shorter than handing it over: two threads that both compute fight for
the interpreter, and every call in flight pays for that. One commit that takes long is enough to hand
the next ones over: twice as many each time, half as many again after each one that was quick. A busy
processor makes a commit long now and then, a slow disk nearly always.
"""

from __future__ import annotations

from typing import Final

SLOW_S: Final = 0.003
ASIDE_MIN: Final = 4
ASIDE_MAX: Final = 4096


class CommitPace:
    """Counts how many of the next commits belong in a thread."""

    __slots__ = ("_aside", "_left")

    def __init__(self) -> None:
        self._aside = ASIDE_MIN
        self._left = 0

    def may_stay(self) -> bool:
        """Whether the next commit may be waited for on the loop."""
        if self._left:
            self._left -= 1
            return False
        return True

    def note(self, took_s: float) -> None:
        """Take in how long a commit on the loop took."""
        if took_s >= SLOW_S:
            self._left = self._aside
            self._aside = min(self._aside * 2, ASIDE_MAX)
        elif self._aside > ASIDE_MIN:
            self._aside //= 2
