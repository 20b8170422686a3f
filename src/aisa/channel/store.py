"""The payee's `ChannelStore` port: what is durable of channels, and the one commit that charges.

Every method blocks until it is done; who calls decides on which thread. One process owns a store.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

SESSIONS_MAX: Final = 64
"""So many sessions of a channel are kept, those that end last; older ones are forgotten."""
SESSION_KEPT_S: Final = 600
"""A session that ended is kept at least so long: answers are repeated for that time."""


class ChannelState(IntEnum):
    """Where a channel stands at the payee: CLOSING takes no new calls, CLOSED is redeemed for good."""

    OPEN = 0
    CLOSING = 1
    CLOSED = 2


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session of a channel; `epoch` names the payee's exchange key that it was made with."""

    channel: int
    hash: bytes
    payer_x25519: bytes
    payee_x25519: bytes
    epoch: int
    lane_first: int
    lane_count: int
    expiry: int


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane that was used, and the units that were charged on it in all."""

    channel: int
    lane: int
    units: int
    closed: bool


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel as the store keeps it; `number` is its short name within this store.

    `redeeming` is the cumulative amount last sent to the hub: a retry repeats exactly it. `escrow` is
    the packed config of a channel in a contract of an EVM network, and empty at a hub.
    """

    number: int
    id: bytes
    network: str
    holder: bytes
    payer: bytes
    currency: str
    salt: bytes
    fee_ppm: int
    opened_ms: int
    deposit: int
    ceiling: int
    voucher_signature: bytes
    charged: int
    redeemed: int
    redeeming: int
    lane_floor: int
    state: ChannelState
    changed_ms: int
    escrow: bytes = b""


class Charge(NamedTuple):
    """One charged call: `answer` is what a repeat gets, packed, or empty if it is not kept."""

    channel: int
    lane: int
    seq: int
    units: int
    cumulative: int
    request: bytes
    status: int
    answer_digest: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class StoreBatch:
    """What one commit writes, whole or not at all; `new_channels` are not stored yet.

    `voids` are (channel, lane, seq) of charges that the payee takes back.
    """

    number: int
    at_ms: int
    new_channels: tuple[ChannelRow, ...] = ()
    channels: tuple[ChannelRow, ...] = ()
    sessions: tuple[SessionRow, ...] = ()
    lanes: tuple[LaneRow, ...] = ()
    charges: tuple[Charge, ...] = ()
    voids: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """A channel with its sessions, the last to end last, and its lanes at or above its floor."""

    row: ChannelRow
    sessions: tuple[SessionRow, ...]
    lanes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoredLane:
    """A lane's row, its newest used seq, and the seq up to which all are refused as late."""

    units: int
    closed: bool
    seq_floor: int
    seqs: tuple[int, ...]

    def may_have_used(self, seq: int) -> bool:
        """Whether a call with this seq was charged, or might have been."""
        return seq <= max(self.seq_floor, *self.seqs, 0)


@dataclass(frozen=True, slots=True)
class StoredCharge:
    """A charge that is looked up again; `answer` is empty if it was not kept or is gone."""

    charge: Charge
    batch: int
    place: int
    at_ms: int
    voided: bool


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """What a process needs to know of a store before its first call."""

    batch_last: int
    channel_last: int
    owing: tuple[tuple[str, int], ...]
    unredeemed: tuple[tuple[str, int], ...]


class ChannelStore(Protocol):
    """Durable state of a payee; a failed write raises StoreUnavailable and changes nothing.

    With new sessions, a commit forgets those of the channel that SESSIONS_MAX and SESSION_KEPT_S
    allow; with a closed lane, closed lanes that were never charged and fell below the floor.
    """

    def secret(self) -> bytes:
        """The 32 bytes that challenges are sealed with; made with the store."""
        ...

    def summary(self) -> StoreSummary:
        """The last numbers given out, the channels that owe, and what each hub owes."""
        ...

    def commit(self, batch: StoreBatch) -> None:
        """Write the batch durably."""
        ...

    def channel(self, channel: bytes) -> StoredChannel | None:
        """The channel with this id."""
        ...

    def channel_by_number(self, number: int) -> StoredChannel | None:
        """The channel with this number."""
        ...

    def lane(self, channel: int, lane: int) -> StoredLane | None:
        """A lane as it was last committed; at most 1,024 of its seq."""
        ...

    def charge(self, channel: int, lane: int, seq: int) -> StoredCharge | None:
        """The charge of one call."""
        ...

    def batch(self, number: int) -> tuple[Charge, ...]:
        """The charges of one commit in their order; empty if it is pruned."""
        ...

    def prune(self, *, answers_before_ms: int, charges_before_ms: int, batches_max: int) -> bool:
        """Forget some old answers, and old charges that are redeemed; whether there may be more."""
        ...

    def probe_ms(self) -> float:
        """The median time of a small commit."""
        ...

    def close(self) -> None:
        """Give the store up."""
        ...
