"""Slots that follow elapsed time, and the ring of 150 blockhashes that a chain tx may name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from solders.hash import Hash

Clock = Callable[[], int]

START_SLOT = 435_888_000
# Skipped slots make a real chain's block height lag its slot; here by a fixed distance, so that a
# client that takes one for the other is found out.
_SKIPPED_SLOTS = 20_000_000
RING_SLOTS = 150
_SLOT_HASHES = 512


@dataclass(frozen=True, slots=True)
class Era:
    """What fixes slots and blockhashes: the time of the first slot, warped slots, and a secret.

    The secret is random per devnet, so that no chain tx of an earlier devnet can be replayed.
    """

    began_at_ms: int
    warped_slots: int
    secret: bytes


class Blocks:
    """The chain's calendar; `advance` moves it to the clock's time and never back."""

    def __init__(self, era: Era, *, slot_ms: int, clock: Clock) -> None:
        self.era = era
        self.slot = START_SLOT
        self._slot_ms = slot_ms
        self._clock = clock
        self._slot_by_hash: dict[str, int] = {}
        self.advance()

    def advance(self) -> bool:
        """Move to the slot of the clock's time; true if it is a later one."""
        elapsed_slots = max(0, self._clock() - self.era.began_at_ms) // self._slot_ms
        slot = max(self.slot, START_SLOT + elapsed_slots + self.era.warped_slots)
        moved = slot > self.slot
        if moved or not self._slot_by_hash:
            self.slot = slot
            self._refill_ring()
        return moved

    def warp(self, slots: int) -> None:
        """Let a number of slots pass at once, with their time."""
        era = self.era
        self.era = Era(era.began_at_ms, era.warped_slots + slots, era.secret)
        self.advance()

    def height(self, slot: int) -> int:
        """The block height at a slot."""
        return slot - _SKIPPED_SLOTS

    def time_s(self, slot: int) -> int:
        """Unix seconds of a slot, by the chain's own clock."""
        return (self.era.began_at_ms + (slot - START_SLOT) * self._slot_ms) // 1000

    def hash_at(self, slot: int) -> str:
        """The blockhash of a slot, in base58."""
        return str(self._hash(slot))

    def slot_of(self, blockhash: str) -> int | None:
        """The slot of a blockhash that is still accepted, else None."""
        return self._slot_by_hash.get(blockhash)

    def slot_hashes(self) -> list[tuple[int, Hash]]:
        """The newest 512 slots with their hashes, newest first."""
        oldest = max(START_SLOT, self.slot - _SLOT_HASHES + 1)
        return [(slot, self._hash(slot)) for slot in range(self.slot, oldest - 1, -1)]

    def _refill_ring(self) -> None:
        oldest = self.slot - RING_SLOTS
        kept = {text: slot for text, slot in self._slot_by_hash.items() if slot >= oldest}
        newest_kept = max(kept.values(), default=oldest - 1)
        for slot in range(newest_kept + 1, self.slot + 1):
            kept[self.hash_at(slot)] = slot
        self._slot_by_hash = kept

    def _hash(self, slot: int) -> Hash:
        return Hash(hashlib.sha256(self.era.secret + slot.to_bytes(8, "big")).digest())
