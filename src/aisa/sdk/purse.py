"""What one process of an agent keeps in memory: sellers, prices, open lanes, receipts to be kept.

Drivers see to it that only one step of the flow touches a purse at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from aisa.channel.payer import Limits
from aisa.channel.payer_lane import LaneMeter
from aisa.channel.wallet import Wallet, WalletCall, WalletReceipt, WalletSession
from aisa.client import NodeInfo
from aisa.errors import AisaError, BudgetExceeded
from aisa.identity import EvmKey, ExchangeKey, SessionKeys, Signer, SigningKey, derive_seed
from aisa.money import BTC, Amount, Currency, currency_by_code
from aisa.protocol.aip import ChannelTerms, Session, SessionRequest
from aisa.sdk.answer import Outcome, Payment, Spent
from aisa.sdk.budget import Budget
from aisa.sdk.x402_asset import PayableAsset

Clock = Callable[[], int]
ROUTES_MAX: Final = 4096
RECEIPTS_MAX: Final = 256
"""So many receipts are gathered before they are written, unless a lease or a second comes first."""
EXPIRY_MARGIN_S: Final = 30


@lru_cache(maxsize=64)
def agent_evm_key(root: bytes, network: str) -> EvmKey:
    """Return the key of an agent's one address on an EVM network.

    Raises:
        ExtraMissing: the packages for EVM networks are not installed.
    """
    return EvmKey(derive_seed(root, "evm account", network))


@dataclass(frozen=True, slots=True)
class Settings:
    """How an agent spends; None stands for $1 of deposit, and a ceiling step of $0.05."""

    budget: Budget = field(default_factory=Budget)
    deposit_max: Amount | None = None
    ceiling_step: Amount | None = None
    session_s: int = 24 * 3600

    def deposit_units(self, currency: Currency) -> int:
        """Return the most that may lie unspent in one channel.

        Raises:
            BudgetExceeded: the setting is in another currency.
        """
        if self.deposit_max is None:
            return _default(currency, cents=100)
        return _units(self.deposit_max, currency, "deposit_max")

    def step_units(self, currency: Currency) -> int:
        """Return the ceiling step."""
        if self.ceiling_step is None or self.ceiling_step.currency != currency:
            return _default(currency, cents=5)
        return self.ceiling_step.units


def _default(currency: Currency, *, cents: int) -> int:
    if currency == BTC:
        return cents * 10_000  # 10 satoshi for a cent, in millisatoshi
    return cents * 10**currency.scale // 100


def _units(amount: Amount, currency: Currency, name: str) -> int:
    if amount.currency != currency:
        raise BudgetExceeded(f"{name} is in {amount.currency}, the seller asks for {currency}")
    return amount.units


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node of the agent's own configuration, and the account key to use there."""

    url: str
    info: NodeInfo
    signer: Signer


@dataclass(slots=True, eq=False)
class Till:
    """An open session of this process with one seller, and the lane that it pays from."""

    terms: ChannelTerms
    channel: bytes
    session: Session
    session_hash: bytes
    keys: SessionKeys
    meter: LaneMeter
    payer: Signer
    node_url: str
    deposit: int
    shown_deposit: int = 0
    low: int = 0
    """Below so many units left, the next slice is leased ahead.

    One whole slice: two of them are one ceiling step, and calls that come in bursts seldom wait.
    """
    is_leasing: bool = False
    is_topping_up: bool = False

    def is_usable(self, now_s: int) -> bool:
        """Whether the session lasts for another call."""
        return now_s < self.session.expiry - EXPIRY_MARGIN_S

    def is_lease_due(self) -> bool:
        """Whether the next slice is to be leased ahead, and nobody does yet."""
        meter = self.meter
        return not self.is_leasing and meter.leased - meter.taken < self.low


@dataclass(slots=True, eq=False)
class Seller:
    """One payee in one currency at one origin: its newest offer, and this process's open till."""

    origin: str
    offer: SessionRequest
    network: str
    fee_ppm_max: int
    currency: Currency
    limits: Limits
    till: Till | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """What a call to one path costs, and whom it pays; `is_guess` for a sibling's price."""

    seller: Seller
    price: int
    is_guess: bool = False


@dataclass(slots=True, eq=False, weakref_slot=True)
class Purse:
    """The state that all calls of one agent in one process share."""

    wallet: Wallet
    root: bytes = field(repr=False)
    settings: Settings
    clock: Clock
    random_bytes: Callable[[int], bytes]
    nodes: Callable[[], tuple[str, ...]]
    """Finds the URLs of the agent's nodes; may start one, so it is run aside."""
    on_payment: Callable[[Payment], None] | None = None
    known_nodes: dict[str, KnownNode] = field(default_factory=dict[str, KnownNode])
    sellers: dict[tuple[str, bytes, str], Seller] = field(
        default_factory=dict[tuple[str, bytes, str], Seller]
    )
    routes: dict[tuple[str, str, str], Route] = field(
        default_factory=dict[tuple[str, str, str], Route]
    )
    free: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])
    """Calls that were answered without a charge; they are asked before they are paid for."""
    receipts: list[WalletReceipt] = field(default_factory=list[WalletReceipt])
    unknown: list[WalletCall] = field(default_factory=list[WalletCall])
    charged: dict[str, int] = field(default_factory=dict[str, int])
    calls: int = 0
    recovered: set[bytes] = field(default_factory=set[bytes])
    x402: tuple[PayableAsset, ...] = ()
    """What sellers of the x402 world may be paid with."""
    flying: set[bytes] = field(default_factory=set[bytes])
    """Nonces of the signed transfers whose answers this process waits for."""
    fault: AisaError | None = None
    """Why this purse may not be used any more: it is closed, or was copied by a fork."""

    def route(self, method: str, origin: str, path: str) -> Route | None:
        """Return what a call is known, or thought, to cost.

        A path that was never asked for takes the price of its last sibling (`/rates/2024-01-02` for
        `/rates/2024-01-01`): a wrong guess costs one round trip and no money.
        """
        known = self.routes.get((method, origin, path))
        if known is None and len(path) > 1 and (method, origin, path) not in self.free:
            known = self.routes.get((method, origin, path[: path.rfind("/") + 1] + "*"))
        return known

    def learn(self, method: str, origin: str, path: str, seller: Seller, price: int) -> Route:
        """Remember what a call costs."""
        if len(self.routes) >= ROUTES_MAX:
            self.routes.clear()
        self.free.discard((method, origin, path))
        route = Route(seller, price)
        self.routes[method, origin, path] = route
        if len(path) > 1:
            sibling = path[: path.rfind("/") + 1] + "*"
            self.routes[method, origin, sibling] = Route(seller, price, is_guess=True)
        return route

    def learn_free(self, method: str, origin: str, path: str) -> None:
        """Remember that a call was answered without a charge."""
        if len(self.free) >= ROUTES_MAX:
            self.free.clear()
        self.free.add((method, origin, path))
        self.routes.pop((method, origin, path), None)

    def payer_key(self, network: str, payee: bytes) -> SigningKey:
        """Return the key that pays this payee at this node; another one for every payee."""
        return SigningKey(derive_seed(self.root, "payer", network, payee))

    def account_key(self, network: str) -> SigningKey:
        """Return the key that is this agent's account at a node."""
        return SigningKey(derive_seed(self.root, "account", network))

    def evm_key(self, network: str) -> EvmKey:
        """Return the key of this agent's address on an EVM network.

        Raises:
            ExtraMissing: the packages for EVM networks are not installed.
        """
        return agent_evm_key(self.root, network)

    def keys_of(self, session: WalletSession) -> SessionKeys:
        """Return a session's MAC keys."""
        exchange = ExchangeKey(session.seed)
        return exchange.session_keys(session.session.payee_x25519, session.session.hash)

    def take_receipts(self) -> list[WalletReceipt]:
        """Return the gathered receipts; whoever takes them keeps them or puts them back."""
        taken, self.receipts = self.receipts, []
        return taken

    def put_back(self, receipts: list[WalletReceipt]) -> None:
        """Gather receipts again that could not be written."""
        self.receipts = receipts + self.receipts

    def tell(self, payment: Payment) -> None:
        """Count a payment and show it to the owner's callback."""
        if payment.outcome is Outcome.SETTLED:
            code = payment.charged.currency.code
            self.charged[code] = self.charged.get(code, 0) + payment.charged.units
            self.calls += 1
        if self.on_payment is not None:
            self.on_payment(payment)

    def spent(self) -> Spent:
        """Return what this process was charged."""
        amounts = tuple(
            Amount(units, currency_by_code(code)) for code, units in self.charged.items()
        )
        return Spent(amounts, self.calls)
