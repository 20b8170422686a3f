"""The payer's wallet as a port: every method is one durable step, safe beside other processes.

What a method returns has been committed. Nothing is sent, and nothing is signed, before the step
that writes it down has returned.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import msgspec

from aisa.channel.payer import (
    ChannelState,
    DepositShort,
    Lease,
    LeaseAsk,
    Limits,
    PayerChannel,
    Spent,
)
from aisa.channel.wallet_transfer import TransferState, WalletTransfer
from aisa.protocol.aip import ChannelTerms, DepositStatement, LaneClosed, ReceiptLeaf, Session

LANES_PER_SESSION = 16
"""A killed process costs its session one lane; the next process goes on with the rest of them."""
REPEATABLE_MS = 600_000
"""For so long a seller keeps an answer; a lane with a call that may be repeated is not closed."""


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """A channel about to be asked for at a node; kept if an open one to the payee is there already."""

    terms: ChannelTerms
    node_url: str
    account_key: bytes
    session_url: str
    deposit: int


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """A session about to be made: both ends' keys and when it ends (unix seconds)."""

    channel: bytes
    seed: bytes = field(repr=False)
    payer_x25519: bytes
    payee_x25519: bytes
    expiry: int


@dataclass(frozen=True, slots=True)
class WalletSession:
    """A session of this process: its unsigned terms, its key's seed, and the lane to go on with."""

    session: Session
    seed: bytes = field(repr=False)
    lane: int
    next_seq: int
    taken: int


@dataclass(frozen=True, slots=True)
class WalletLane:
    """A lane that its owner left open when it died; `leased` units are counted as sent on it."""

    channel: bytes
    lane: int
    leased: int
    session: bytes


@dataclass(frozen=True, slots=True)
class TopUp:
    """A top-up written down before the node is asked; repeated with the same id until it answers."""

    channel: bytes
    id: str
    units: int


class CallState(Enum):
    """SENT may still be repeated; UNKNOWN was given up without knowing what became of it."""

    SENT = "sent"
    SETTLED = "settled"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class WalletCall:
    """A call written down before it is sent: what it asks, and the tick that pays for it."""

    call_id: str
    method: str
    url: str
    digest: bytes
    session: bytes
    channel: bytes
    lane: int
    seq: int
    amount: int
    at_ms: int
    state: CallState = CallState.SENT
    charged: int = 0


class WalletReceipt(msgspec.Struct, frozen=True, gc=False):
    """An authentic receipt, and the call that it is for."""

    leaf: ReceiptLeaf
    mac: bytes
    method: str
    url: str
    at_ms: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class UnknownSpend:
    """Units that a seller may have, or has, charged without an answer that this wallet kept.

    `call_id` is set for a call that was written down; without it the units are those that the payee
    signed for on a lane of a process that died, above the receipts kept for it. `is_final` is false
    while the payee has not yet said what it charged: the units are then the most it can be. A signed
    transfer has no channel, and names its `currency`.
    """

    channel: bytes
    lane: int
    units: int
    is_final: bool
    call_id: str = ""
    url: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class WalletEvent:
    """Something that the owner should be able to read later."""

    at_ms: int
    kind: str
    channel: bytes
    detail: str
    number: int = 0


class Wallet(Protocol):
    """One payer's durable memory, shared by all of its processes."""

    def pin_payee(self, origin: str, payee: bytes) -> bytes:
        """Return the payee's key that this origin is pinned to; the first one given stays."""
        ...

    def repin_payee(self, origin: str, payee: bytes) -> None:
        """Accept another payee's key for an origin; the owner's decision."""
        ...

    def plan_channel(self, plan: ChannelPlan, *, now_ms: int) -> PayerChannel:
        """Write a channel down as OPENING, or return the one to this payee that is not closing."""
        ...

    def open_channel(self, channel: bytes, statement: DepositStatement) -> PayerChannel:
        """Note that the node opened the channel.

        Raises:
            NotFound: the wallet has no such channel.
        """
        ...

    def drop_channel(self, channel: bytes) -> None:
        """Forget an OPENING channel that the node is proved not to have opened."""
        ...

    def find_channel(self, payee: bytes, currency: str, network: str) -> PayerChannel | None:
        """Return the OPENING or OPEN channel to a payee."""
        ...

    def channel(self, channel: bytes) -> PayerChannel:
        """Return a channel.

        Raises:
            NotFound: the wallet has no such channel.
        """
        ...

    def channels(self, *states: ChannelState) -> list[PayerChannel]:
        """Return the channels in these states, or all, the newest first."""
        ...

    def set_state(self, channel: bytes, state: ChannelState) -> None:
        """Note that a channel moved on; a closed one never comes back, and has no top-up."""
        ...

    def begin_top_up(self, plan: TopUp) -> TopUp:
        """Write a top-up down, or return the one that is already under way for the channel."""
        ...

    def finish_top_up(self, top_up: TopUp, statement: DepositStatement | None) -> PayerChannel:
        """Note the node's answer; None when it proved not to have moved anything."""
        ...

    def pending_top_up(self, channel: bytes) -> TopUp | None:
        """Return the top-up that is under way for a channel."""
        ...

    def make_session(self, plan: SessionPlan) -> WalletSession:
        """Make a session of this process on a range of lanes that no other session ever had."""
        ...

    def adopt_session(self, channel: bytes, *, expiry_min: int) -> WalletSession | None:
        """Take over a session that a process left in order, if one lasts beyond `expiry_min`."""
        ...

    def session(self, session: bytes) -> WalletSession | None:
        """Return a session by its hash, whoever owns it."""
        ...

    def next_lane(self, session: bytes, *, lane: int, taken: int) -> int | None:
        """Give a lane's rest back and return the session's next lane; None when there is no more."""
        ...

    def lease(
        self,
        channel: bytes,
        lane: int,
        ask: LeaseAsk,
        limits: Limits,
        *,
        now_ms: int,
        receipts: Sequence[WalletReceipt] = (),
    ) -> Lease | DepositShort:
        """Count a slice as sent; the receipts are kept in the same commit.

        Raises:
            BudgetExceeded: a limit of the owner leaves no room.
            StateConflict: the channel is not open.
        """
        ...

    def park(self, session: bytes, *, lane: int, taken: int, next_seq: int) -> None:
        """Leave a session in order: give the lane's rest back, for another process to go on with."""
        ...

    def retire(self, session: bytes, *, lane: int, taken: int) -> None:
        """Give the lane's rest back and end a session of this process."""
        ...

    def dead_lanes(self, *, now_ms: int, channel: bytes | None = None) -> list[WalletLane]:
        """Return the lanes whose owner died, without those that a call may still be repeated on."""
        ...

    def lane_returned(self, lane: WalletLane, notice: LaneClosed, *, now_ms: int) -> int:
        """Note the payee's last word on a dead lane and return the units that came back.

        Raises:
            ReceiptInvalid: the payee did not sign it, or claims more than was leased.
        """
        ...

    def begin_call(self, call: WalletCall) -> WalletCall:
        """Write a call down before it is sent, or return the one that has this id.

        Raises:
            IdempotencyMismatch: the id was used for another request.
        """
        ...

    def find_call(self, call_id: str) -> WalletCall | None:
        """Return a call by its id."""
        ...

    def renew_call(self, call: WalletCall) -> None:
        """Pay for a known call by another tick, after the first one proved not to be charged."""
        ...

    def finish_call(self, call_id: str, state: CallState, *, charged: int = 0) -> None:
        """Note what became of a call."""
        ...

    def note_unknown(self, calls: Sequence[WalletCall]) -> None:
        """Keep calls without an id of their own whose outcome is not known."""
        ...

    def begin_transfer(
        self, plan: WalletTransfer, limits: Limits, *, flying: Collection[bytes] = ()
    ) -> WalletTransfer:
        """Write a transfer down before it is signed, and count its units as spent.

        Returns the one to send instead where the call has one already: under its id, or, without an
        id, one for the same request whose answer nobody waits for. `flying` are the nonces that
        this process waits for.

        Raises:
            BudgetExceeded: a limit of the owner leaves no room.
            IdempotencyMismatch: the id was used for another request.
            StateConflict: the id's call is being paid for by a tick.
        """
        ...

    def find_transfer(self, call_id: str) -> WalletTransfer | None:
        """Return the transfer of a call, unless it is proved never to move."""
        ...

    def finish_transfer(self, nonce: bytes, state: TransferState, *, chain_tx: str = "") -> None:
        """Note what became of a transfer; FAILED gives its units back to the budget of its day."""
        ...

    def open_transfers(self) -> list[WalletTransfer]:
        """Return the transfers that may have been carried out or may still be, the oldest first."""
        ...

    def unknown_spends(self, *, flying: Collection[bytes] = ()) -> list[UnknownSpend]:
        """Return everything that may be charged without an answer that was kept."""
        ...

    def add_receipts(self, receipts: Sequence[WalletReceipt]) -> None:
        """Keep receipts, in one commit."""
        ...

    def receipts(self, *, after: int = 0, limit: int = 100) -> list[WalletReceipt]:
        """Return receipts in the order they were kept, those with a number above `after`."""
        ...

    def add_event(self, event: WalletEvent) -> None:
        """Keep an event for the owner to read."""
        ...

    def events(self, *, after: int = 0, limit: int = 100) -> list[WalletEvent]:
        """Return events, the oldest first, those with a number above `after`."""
        ...

    def spent(self, currency: str, *, now_ms: int, payee: bytes = b"") -> Spent:
        """Return the ceilings signed on this UTC day, to one payee and to all."""
        ...

    def close(self) -> None:
        """Let go of the file; this process's open lanes count as a dead process's from now on."""
        ...
