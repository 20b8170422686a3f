"""What a node's HTTP API says and takes: every request and answer, typed.

Amounts are integer units of their currency, times milliseconds since 1970 unless named otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from aisa.client.shape import (
    ChannelId,
    Key,
    Name,
    PositiveUnits,
    RequestId,
    Salt,
    Signature,
    Size,
    Units,
)
from aisa.errors import AisaError, class_by_slug
from aisa.identity import verify_signature
from aisa.protocol.aip import ChannelTerms, DepositStatement, Voucher, key_of_hub_network
from aisa.protocol.frame import frame, u64

CLAIMS_MAX = 256
"""The most claims in one batch of redemptions."""


class ChannelState(Enum):
    """Where a channel stands at its node."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class ChannelRole(Enum):
    """Which side of its channels an account asks for."""

    OPENER = "opener"
    PAYEE = "payee"


class DepositState(Enum):
    """CREDITED to the account, or HELD apart, safe, until a cap allows it."""

    CREDITED = "credited"
    HELD = "held"


class WithdrawalState(Enum):
    """SETTLED and FAILED are final; UNKNOWN is being looked up and keeps the money set aside."""

    PENDING = "pending"
    SETTLED = "settled"
    FAILED = "failed"
    UNKNOWN = "unknown"


class RedemptionStatus(Enum):
    """What became of one claim."""

    APPLIED = "applied"
    REPEATED = "repeated"
    REFUSED = "refused"


class Direction(Enum):
    """Whether a transfer brought money to the account or took it."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class CurrencyInfo:
    """A currency that a node keeps; `account_cap` bounds what deposits may lift an account to."""

    code: str
    scale: int
    fee_ppm: int
    account_cap: Units


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token that can be deposited and withdrawn, and the currency it is credited in."""

    asset: str
    symbol: str
    network: str
    scale: int
    currency: str


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """Who a node is and what it offers."""

    network: str
    node_key: Key
    version: str
    currencies: tuple[CurrencyInfo, ...]
    tokens: tuple[TokenInfo, ...]
    withdrawals_open: bool
    labels: tuple[str, ...]

    def currency(self, code: str) -> CurrencyInfo | None:
        """Return the currency with this code, if the node keeps it."""
        return next((currency for currency in self.currencies if currency.code == code), None)


@dataclass(frozen=True, slots=True)
class BalanceInfo:
    """What an account holds; `available` leaves out what is set aside for withdrawals."""

    currency: str
    units: Units
    available: Units


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account, which is its key, and its balances."""

    key: Key
    balances: tuple[BalanceInfo, ...]

    def available(self, currency: str) -> int:
        """Return what may be spent in a currency."""
        return next((b.available for b in self.balances if b.currency == currency), 0)


@dataclass(frozen=True, slots=True)
class TransferInfo:
    """One line of an account's history; `kind` is transfer, hold, post, void or expire."""

    seq: int
    id: str
    kind: str
    code: str
    currency: str
    units: Units
    direction: Direction
    counterparty: str
    reference: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class TransferPage:
    """Newest first; ask again with `before=next_before` for older ones."""

    transfers: tuple[TransferInfo, ...]
    next_before: int | None = None


@dataclass(frozen=True, slots=True)
class TransferReceipt:
    """The node's signed word that an entry is in its ledger, for one of the two accounts.

    `debit` and `credit` are account names; `account` is the one that asked.
    """

    network: str
    account: str
    id: str
    kind: str
    debit: str
    credit: str
    units: Units
    currency: str
    code: str
    reference: str
    at_ms: int
    signature: Signature = b""

    def signing_bytes(self) -> bytes:
        """What the node signs."""
        texts = (self.network, self.account, self.id, self.kind, self.debit, self.credit)
        rest = (self.currency, self.code, self.reference, u64(self.at_ms))
        return frame("AISA-TRANSFER-RECEIPT/1", *texts, u64(self.units), *rest)

    @property
    def is_genuine(self) -> bool:
        """Whether the node that the network names signed it."""
        key = key_of_hub_network(self.network)
        return verify_signature(key, self.signing_bytes(), self.signature)


@dataclass(frozen=True, slots=True)
class DepositAddressRequest:
    """Asks for the address that credits this account, by CAIP-19 asset."""

    asset: Name


@dataclass(frozen=True, slots=True)
class DepositAddress:
    """Pay `asset` to `address` on `network`, and the account is credited."""

    network: str
    asset: str
    address: str


@dataclass(frozen=True, slots=True)
class DepositInfo:
    """A deposit that is final on its network; `units` are what was or will be credited."""

    id: str
    asset: str
    currency: str
    units: Units
    fee_units: Units
    state: DepositState
    reference: str
    at_ms: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DepositPage:
    """In order of their ids; ask again with `after=next_after` for more."""

    deposits: tuple[DepositInfo, ...]
    next_after: str | None = None


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    """Send `units` of a currency as `asset` to `destination`, for at most `fee_units_max` on top."""

    id: RequestId
    asset: Name
    units: PositiveUnits
    destination: Name
    fee_units_max: Units


@dataclass(frozen=True, slots=True)
class WithdrawalQuoteRequest:
    """Asks what a withdrawal would cost now."""

    asset: Name
    units: PositiveUnits
    destination: Name


@dataclass(frozen=True, slots=True)
class WithdrawalQuote:
    """The fee on top of `units`, and how long the network usually takes."""

    asset: str
    units: Units
    fee_units: Units
    time_s: int


@dataclass(frozen=True, slots=True)
class WithdrawalInfo:
    """A withdrawal; `reference` names the chain transaction once it is known."""

    id: str
    state: WithdrawalState
    asset: str
    currency: str
    units: Units
    fee_units: Units
    destination: str
    at_ms: int
    reference: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class WithdrawalPage:
    """In order of their ids; ask again with `after=next_after` for more."""

    withdrawals: tuple[WithdrawalInfo, ...]
    next_after: str | None = None


@dataclass(frozen=True, slots=True)
class OpenChannelRequest:
    """Open a channel; `payer_signature` is the payer key's over `open_bytes(channel, account key)`."""

    id: RequestId
    network: Name
    payer: Key
    payee: Key
    currency: Name
    salt: Salt
    deposit: PositiveUnits
    payer_signature: Signature

    @property
    def terms(self) -> ChannelTerms:
        """The terms that the channel id hashes.

        Raises:
            MalformedMessage: the network is not a node's.
        """
        holder = key_of_hub_network(self.network)
        return ChannelTerms(self.network, holder, self.payer, self.payee, self.currency, self.salt)


@dataclass(frozen=True, slots=True)
class TopUpRequest:
    """Add `units` to a channel's deposit."""

    id: RequestId
    units: PositiveUnits


@dataclass(frozen=True, slots=True)
class CloseChannelRequest:
    """Close a channel; `payer_signature` is the payer key's over `close_bytes(channel)`."""

    payer_signature: Signature


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel at its node; `closes_at_ms` is an estimate, as the clock counts the node's uptime."""

    channel: ChannelId
    network: str
    payer: Key
    payee: Key
    currency: str
    salt: Salt
    state: ChannelState
    deposit: Units
    redeemed: Units
    fee_taken: Units
    fee_ppm: int
    closes_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OpenedChannel:
    """A channel, and the node's signed word on its deposit for the payee."""

    channel: ChannelView
    statement: DepositStatement


@dataclass(frozen=True, slots=True)
class ChannelPage:
    """In order of their ids; ask again with `after=next_after` for more."""

    channels: tuple[ChannelView, ...]
    next_after: str | None = None


@dataclass(frozen=True, slots=True)
class RedemptionClaim:
    """The payee takes `cumulative` in all; `final` closes the channel and returns the rest.

    The voucher may be left out only if nothing new is taken.
    """

    channel: ChannelId
    cumulative: Units
    voucher: Voucher | None = None
    final: bool = False


RedemptionClaims = Annotated[tuple[RedemptionClaim, ...], Size(CLAIMS_MAX)]


@dataclass(frozen=True, slots=True)
class ProblemInfo:
    """Why one item of a batch was refused."""

    slug: str
    detail: str

    def error(self) -> AisaError:
        """Return the error that it stands for."""
        return class_by_slug(self.slug)(self.detail)


@dataclass(frozen=True, slots=True)
class RedemptionResult:
    """What a channel's payee has taken in all, and the fee of that, after one claim."""

    channel: ChannelId
    status: RedemptionStatus
    redeemed: Units
    fee: Units
    problem: ProblemInfo | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """One token: what the node owes of it, what its rail holds, and what is on its way out.

    `owed`, `held` and `outgoing` are in the token's own units.
    """

    asset: str
    currency: str
    owed: Units
    held: Units
    outgoing: Units
    short: Units


@dataclass(frozen=True, slots=True)
class CurrencyLiability:
    """What a node owes in a currency: to accounts and channels, in fees, and held apart."""

    currency: str
    customers: Units
    fees: Units
    suspense: Units


@dataclass(frozen=True, slots=True)
class SolvencyInfo:
    """The last comparison of what a node owes with what its rails hold."""

    solvent: bool
    withdrawals_open: bool
    checked_at_ms: int
    holdings: tuple[Holding, ...]
    liabilities: tuple[CurrencyLiability, ...]
