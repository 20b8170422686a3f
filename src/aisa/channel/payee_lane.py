"""A lane at the payee: which seq are used, which are in flight, what was charged.

Both ends bound it: 1,024 seq behind the highest one are remembered as bits, older ones are late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aisa.channel.store import LaneRow, StoredLane

if TYPE_CHECKING:
    from aisa.channel.payee_session import PayeeSession

WINDOW: Final = 1024
_ALL: Final = (1 << WINDOW) - 1


class LaneCall:
    """One call in flight and the units that are reserved for it.

    `waiter` belongs to whoever runs the call: repeats of the same tick wait on it.
    """

    __slots__ = ("digest", "lane", "seq", "units", "waiter")

    def __init__(self, lane: PayeeLane, seq: int, digest: bytes, units: int) -> None:
        self.lane = lane
        self.seq = seq
        self.digest = digest
        self.units = units
        self.waiter: Any = None


class PayeeLane:
    """An independent counter of a session; `calls` are in flight, `units` are committed."""

    __slots__ = (
        "_floor",
        "_mask",
        "_top",
        "calls",
        "channel_number",
        "closed",
        "expiry",
        "is_held",
        "number",
        "receipt_key",
        "tick_key",
        "units",
    )

    def __init__(
        self,
        channel_number: int,
        number: int,
        session: PayeeSession,
        stored: StoredLane | None = None,
    ) -> None:
        self.channel_number = channel_number
        self.number = number
        self.units = 0
        self.closed = False
        self.is_held = False
        self.calls: dict[int, LaneCall] = {}
        self._floor = 0
        self._top = 0
        self._mask = 0
        self.bind(session)
        if stored is not None:
            self._restore(stored)

    def bind(self, session: PayeeSession) -> None:
        """Take the keys and the expiry of the session that the lane now belongs to."""
        keys = session.keys
        self.tick_key = keys.tick
        self.receipt_key = keys.receipt
        self.expiry = session.expiry

    def is_free(self, seq: int) -> bool:
        """Whether the seq is neither used nor late."""
        behind = self._top - seq
        if behind < 0:
            return seq > self._floor
        return behind < WINDOW and seq > self._floor and not self._mask >> behind & 1

    def take(self, call: LaneCall) -> None:
        """Mark the seq of a call as used while it is in flight."""
        seq = call.seq
        ahead = seq - self._top
        if ahead > 0:
            self._mask = (self._mask << ahead | 1) & _ALL if ahead < WINDOW else 1
            self._top = seq
        else:
            self._mask |= 1 << -ahead
        self.calls[seq] = call

    def keep(self, seq: int) -> None:
        """The call was charged: its seq stays used."""
        del self.calls[seq]

    def give_back(self, seq: int) -> None:
        """The call was not charged: its seq is free again, unless the window has passed it."""
        del self.calls[seq]
        behind = self._top - seq
        if behind < WINDOW:
            self._mask &= ~(1 << behind)

    @property
    def is_untouched(self) -> bool:
        """Whether no call was ever charged or is in flight."""
        return not (self.units or self._top or self._floor)

    def row(self, more_units: int = 0) -> LaneRow:
        """The row to commit together with charges of `more_units`."""
        return LaneRow(self.channel_number, self.number, self.units + more_units, self.closed)

    def _restore(self, stored: StoredLane) -> None:
        self.units, self.closed, self._floor = stored.units, stored.closed, stored.seq_floor
        if stored.seqs:
            self._top = max(stored.seqs)
            for seq in stored.seqs:
                if self._top - seq < WINDOW:
                    self._mask |= 1 << (self._top - seq)
