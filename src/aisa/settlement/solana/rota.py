"""Whose turn it is: addresses that never received anything are looked at less often as they age."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Final

ALWAYS_MS: Final = 60 * 60 * 1000
"""For so long after it was given, an address is looked at in every round."""

PAUSE_MS_MAX: Final = 5 * 60 * 1000
_SLOWDOWN: Final = 12


def pause_ms(age_ms: int) -> int:
    """Return how long an unused address may wait; five minutes when it is two hours old."""
    return min(PAUSE_MS_MAX, max(0, age_ms - ALWAYS_MS) // _SLOWDOWN)


@dataclass(frozen=True, slots=True)
class _Turn:
    slot: int
    at_ms: int
    due_ms: int
    is_used: bool


class Rota:
    """The last look at each address, for as long as the same reader goes on from the same cursor."""

    def __init__(self) -> None:
        self._cursor: bytes | None = None
        self._turns: dict[str, _Turn] = {}

    def go_on_from(self, cursor: bytes) -> None:
        """Begin a round; at any other place than where the last one ended, all is looked at."""
        if cursor != self._cursor:
            self._turns.clear()

    def due(self, addresses: Iterable[str], now_ms: int) -> list[str]:
        """Return those whose turn it is."""
        turns = self._turns
        return [
            address
            for address in addresses
            if (turn := turns.get(address)) is None
            # A clock that was set back must not make anyone wait.
            or not turn.at_ms <= now_ms < turn.due_ms
        ]

    def slot(self, address: str, otherwise: int) -> int:
        """Return the slot up to which all of an address is told."""
        turn = self._turns.get(address)
        return otherwise if turn is None else turn.slot

    def note(
        self, slots: Mapping[str, int], used: Set[str], ages_ms: Mapping[str, int], now_ms: int
    ) -> None:
        """Keep what a round saw: up to which slot, and which addresses have a history."""
        for address, slot in slots.items():
            old = self._turns.get(address)
            is_used = address in used or (old is not None and old.is_used)
            pause = 0 if is_used else pause_ms(ages_ms[address])
            # Each has a share of the pause of its own, so that they do not all come at once.
            pause = pause * (512 + zlib.crc32(address.encode()) % 513) // 1024
            self._turns[address] = _Turn(slot, now_ms, now_ms + pause, is_used)

    def end_at(self, cursor: bytes) -> None:
        """End a round."""
        self._cursor = cursor
