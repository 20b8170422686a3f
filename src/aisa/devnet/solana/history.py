"""The table of chain txs that landed, in order, with an index by address."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

HISTORY_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Landed:
    """One chain tx that ran and paid its fee, whether its instructions succeeded or not.

    `meta` is the JSON of what only a detailed question needs (logs, balances before and after,
    inner instructions); bytes keep a long history small. `err` is the JSON of the error or empty.
    """

    signature: str
    slot: int
    raw: bytes
    addresses: tuple[str, ...]
    err: bytes
    meta: bytes


class History:
    """Landed chain txs by signature and by address; the oldest leave beyond `HISTORY_MAX`."""

    def __init__(self) -> None:
        self._by_signature: dict[str, Landed] = {}
        self._by_address: dict[str, list[str]] = {}
        self.added = 0

    def __len__(self) -> int:
        return len(self._by_signature)

    def add(self, landed: Landed) -> None:
        """Append a chain tx."""
        self._by_signature[landed.signature] = landed
        self.added += 1
        for address in landed.addresses:
            self._by_address.setdefault(address, []).append(landed.signature)
        if len(self._by_signature) > HISTORY_MAX:
            self._forget_oldest()

    def get(self, signature: str) -> Landed | None:
        """The chain tx of a signature."""
        return self._by_signature.get(signature)

    def all(self) -> Iterator[Landed]:
        """Every chain tx, oldest first."""
        return iter(self._by_signature.values())

    def of_address(
        self, address: str, *, before: str | None, until: str | None, limit: int
    ) -> list[Landed]:
        """Chain txs that name an address, newest first, between two signatures (both left out)."""
        signatures = self._by_address.get(address, [])
        newest_first: Iterator[str] = reversed(signatures)
        if before is not None:
            newest_first = itertools.dropwhile(lambda one: one != before, newest_first)
            next(newest_first, None)
        if until is not None:
            newest_first = itertools.takewhile(lambda one: one != until, newest_first)
        return [self._by_signature[one] for one in itertools.islice(newest_first, limit)]

    def first_slot(self, default: int) -> int:
        """The slot of the oldest chain tx that is still kept."""
        oldest = next(iter(self._by_signature.values()), None)
        return oldest.slot if oldest and len(self._by_signature) >= HISTORY_MAX else default

    def _forget_oldest(self) -> None:
        oldest = next(iter(self._by_signature.values()))
        del self._by_signature[oldest.signature]
        for address in oldest.addresses:
            signatures = self._by_address[address]
            signatures.remove(oldest.signature)
            if not signatures:
                del self._by_address[address]
