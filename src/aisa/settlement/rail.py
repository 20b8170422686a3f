"""The port of every network, and the values that cross it.

Three outcomes, and no fourth: settled, failed (proved not to have happened, and never to happen
later), unknown. Nothing is ever sent twice to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from aisa.money import Token

Clock = Callable[[], int]
"""Unix time in milliseconds."""


@dataclass(frozen=True, slots=True)
class NetworkFee:
    """What a network takes: `units` of `asset` (CAIP-19), often its native asset."""

    units: int
    asset: str


@dataclass(frozen=True, slots=True)
class RailQuote:
    """What sending would cost and take now.

    `fee_units` are of `fee_asset` (CAIP-19), `time_s` is until the outcome is final, and the rail
    can send from `units_min` to `units_max`.
    """

    token: Token
    units: int
    destination: str
    fee_units: int
    fee_asset: str
    time_s: int
    units_min: int
    units_max: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One payment out; `id` is made by the caller and is its idempotency key for ever."""

    id: str
    token: Token
    units: int
    destination: str


class FailureReason(StrEnum):
    """Why a payment out is proved not to have happened."""

    NEVER_SENT = "never-sent"
    REFUSED = "refused"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Settled:
    """It happened and is final; `reference` names it on the network."""

    reference: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not happen, and cannot happen under this id any more (unless it was never sent)."""

    reason: FailureReason
    detail: str = ""
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have happened: keep the hold and look it up later."""

    reference: str | None


Outcome: TypeAlias = Settled | Failed | Unknown


@dataclass(frozen=True, slots=True)
class DepositRequest:
    """What a payer needs: send `token` to `address`; `units` is a wish, any amount is credited."""

    token: Token
    account: str
    address: str
    units: int | None


@dataclass(frozen=True, slots=True)
class Deposit:
    """One final credit; `id` is derived from the outside event, so it is the same every time."""

    id: str
    network: str
    account: str
    token: Token
    units: int
    reference: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """Deposits after a cursor, oldest first, and the cursor to go on from."""

    deposits: tuple[Deposit, ...]
    cursor: bytes


@dataclass(frozen=True, slots=True)
class Conditions:
    """The network as it is now: the fee of a plain payment, how full it is, and how fresh this is.

    `congestion_ppm` is 0 on an idle network and 1,000,000 on a full one; `age_ms` is how far the
    network's own clock lags ours.
    """

    fee_units: int
    fee_asset: str
    time_s: int
    congestion_ppm: int
    age_ms: int
    measured_at_ms: int


@dataclass(frozen=True, slots=True)
class Liquidity:
    """How much of a token can be sent now, and received (None: without limit)."""

    token: Token
    units_sendable: int
    units_receivable: int | None


class SendJournal(Protocol):
    """Where a rail writes down what it is about to send.

    `save` is durable when it returns; a second `save` of an id replaces its body. The body is
    the rail's own; it holds no secret.
    """

    async def load(self, id: str) -> bytes | None:  # noqa: A002 - the word of the design
        """The body saved for an id."""
        ...

    async def save(self, id: str, body: bytes) -> None:  # noqa: A002
        """Keep a body for an id."""
        ...


class DepositAddresses(Protocol):
    """Which accounts were given a deposit address; watched for ever, so kept for ever."""

    async def add(self, account: str, address: str) -> None:
        """Keep a pair, durable on return; one that is there already stays as it is."""
        ...

    async def entries(self) -> Sequence[tuple[str, str]]:
        """Every (account, address)."""
        ...

    async def given_ms(self) -> Mapping[str, int]:
        """When the addresses that were there at first were given; those of this run may be missing."""
        ...


class Rail(Protocol):
    """A way to settle on one network, named by CAIP-2."""

    @property
    def network(self) -> str:
        """The network's CAIP-2 name."""
        ...

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens that this rail moves."""
        ...

    async def quote(self, token: Token, units: int, destination: str) -> RailQuote:
        """What sending would cost and take.

        Raises:
            InvalidRequest: not a token of this rail, or not a destination that can receive it.
            RailUnavailable: the network does not answer.
        """
        ...

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Send once, and wait a bounded time for the outcome; the same id never sends anew.

        An exception means that nothing was sent; after that point only outcomes are returned.

        Raises:
            InvalidRequest: not a token, amount or destination that can be sent.
            IdempotencyMismatch: the id was used for another payment.
            RailUnavailable: not possible now (network, liquidity, fee money); retry freely.
            RailError: the network would refuse it.
        """
        ...

    async def look_up(self, id: str) -> Outcome:  # noqa: A002
        """What became of a payment out; never sends anything new."""
        ...

    async def request(self, token: Token, account: str, units: int | None = None) -> DepositRequest:
        """Where a payer sends a token so that an account is credited; always the same address.

        Raises:
            InvalidRequest: not a token of this rail.
        """
        ...

    async def incoming(self, cursor: bytes) -> Incoming:
        """Final deposits after a cursor; `b""` is the beginning.

        Raises:
            RailUnavailable: the network does not answer; the cursor stays valid.
        """
        ...

    async def holdings(self) -> Mapping[Token, int]:
        """What the rail holds for the node, final on the network, by token.

        Raises:
            RailUnavailable: the network does not answer.
        """
        ...

    async def fees(self, reference: str) -> NetworkFee:
        """What the network took for a settled or refused payment out.

        Raises:
            NotFound: the network does not know the reference.
            RailUnavailable: the network does not answer.
        """
        ...

    async def conditions(self) -> Conditions:
        """The network's fee, load and freshness now.

        Raises:
            RailUnavailable: the network does not answer.
        """
        ...

    async def liquidity(self) -> tuple[Liquidity, ...]:
        """What can be sent and received now, by token.

        Raises:
            RailUnavailable: the network does not answer.
        """
        ...

    async def close(self) -> None:
        """Release connections; what was sent stays with the network."""
        ...
