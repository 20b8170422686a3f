"""One live lane in its owner's memory: which seq is next, and how much of the slices is left."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LaneMeter:
    """Counts what a process takes from the slices that its wallet leased to one lane.

    `leased` and `taken` are totals over the lane's life. `shown` is how much of `leased` the payee
    is known to hold a voucher for; a call above it must carry the newest one.
    """

    lane: int
    leased: int = 0
    taken: int = 0
    next_seq: int = 1
    shown: int = 0
    ceiling: int = 0
    voucher: str = ""
    offered: bool = False

    @property
    def left(self) -> int:
        """Units that may be taken without another lease."""
        return self.leased - self.taken

    def add(self, units: int, ceiling: int, voucher: str) -> None:
        """Take in a lease and the voucher that covers it."""
        self.leased += units
        self.ceiling = ceiling
        self.voucher = voucher
        self.offered = False

    def take(self, amount: int) -> int:
        """Return the seq of a call that may cost `amount`, or 0 when a lease is needed first."""
        taken = self.taken + amount
        if taken > self.leased:
            return 0
        self.taken = taken
        seq = self.next_seq
        self.next_seq = seq + 1
        return seq

    def give_back(self, amount: int) -> None:
        """Return units that a call proved not to cost; its seq is never used for another call."""
        self.taken -= amount

    def voucher_due(self) -> str:
        """Return the voucher to send with the call just taken, or nothing.

        One call in flight shows a new voucher ahead of its need; any other call carries it only if
        it lies beyond what the payee is known to hold.
        """
        if self.shown >= self.leased or (self.offered and self.taken <= self.shown):
            return ""
        self.offered = True
        return self.voucher

    def mark_shown(self, leased: int) -> None:
        """Note that a call which carried the voucher for `leased` units was let in."""
        self.shown = max(self.shown, leased)

    def mark_lost(self) -> None:
        """Note that the call that showed the voucher failed; the next one shows it again."""
        self.offered = False
