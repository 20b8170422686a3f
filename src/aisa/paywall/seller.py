"""The seller's side in one object: keys, file, terms, and the workers behind the paywall."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from aisa.channel.payee_check import HubExposure, PayeeRules
from aisa.channel.payee_session import PayeeExchange
from aisa.channel.sqlite.store import SqliteChannelStore
from aisa.client import NodeClient, origin_of
from aisa.client.facilitator_client import FacilitatorClient
from aisa.errors import ConfigInvalid, StoreUnavailable
from aisa.identity import Signer, SigningKey
from aisa.money import AIUSD, Currency, parse_units
from aisa.paywall.asgi import BODY_TIMEOUT_S
from aisa.paywall.gatherer import INLINE_MS_MAX
from aisa.paywall.limiter import DailyQuota, UnpaidLimiter
from aisa.paywall.offer import OfferDesk, OfferTerms
from aisa.paywall.redeemer import HubClient, Redeemer, Sweep
from aisa.paywall.sale_desk import SaleDesk
from aisa.paywall.sessions import SessionDesk
from aisa.paywall.till import ANSWER_KEPT_MS, Till
from aisa.paywall.x402_offer import X402Offer, X402Terms
from aisa.protocol.aip import Hub, key_of_hub_network
from aisa.protocol.x402 import PAYMENT_IDENTIFIER

SESSION_PATH: Final = "/aisa/session"
FEE_PPM_MAX: Final = 10_000
PRUNE_EVERY_S: Final = 10.0
CHARGES_KEPT_S: Final = 30 * 24 * 3600
_PRUNED_AT_ONCE: Final = 64

logger = logging.getLogger("aisa.paywall")


def wall_clock_ms() -> int:
    """Return unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class TrustedHub:
    """A node that the seller accepts channels at: where it is, its key, and how far it is trusted.

    `network` is the node's name (`aisa:` and its key), `unredeemed_cap` the most that it may owe
    in units of the currency, by default those of 5.00; half of it starts a redemption.
    """

    url: str
    network: str
    fee_ppm_max: int = FEE_PPM_MAX
    unredeemed_cap: int | None = None
    sweep: Sweep | None = None


@dataclass(frozen=True, slots=True)
class PaywallOptions:
    """What most sellers leave as it is.

    `deposit_min` and `ceiling_step_max` are units, by default those of 0.01 and 0.05 of the
    currency. Unpaid requests of one peer address are answered `unpaid_per_s` times a second,
    `unpaid_burst` at once. Redeemed charges are forgotten after `charges_kept_s`. `commit` says
    where commits are done; `auto` measures the disk at the start. The body of a request is read for
    at most `body_timeout_s`.
    """

    session_path: str = SESSION_PATH
    deposit_min: int | None = None
    ceiling_step_max: int | None = None
    unpaid_per_s: float = 50
    unpaid_burst: int = 500
    charges_kept_s: int = CHARGES_KEPT_S
    commit: Literal["auto", "inline", "thread"] = "auto"
    body_timeout_s: float = BODY_TIMEOUT_S
    x402_extensions: tuple[str, ...] = (PAYMENT_IDENTIFIER,)


_DEFAULT: Final = PaywallOptions()


class Paywall:
    """A seller: its file at `store_path`, its 32-byte `seed`, its public `origin`, its hubs.

    The origin (`https://api.example`) is what payers see and sign; it is never read from a request.
    `x402` are tokens that are taken for single calls beside AIP. `clock` gives unix milliseconds. `client_of` makes the client of a hub,
    `facilitator_of` that of an offer's facilitators.

    Raises:
        ConfigInvalid: the origin, the path, a hub, an x402 offer or the seed cannot work.
        ExtraMissing: there are x402 offers, and the packages for EVM networks are not installed.
    """

    def __init__(  # noqa: PLR0913 - settings, all by name
        self,
        store_path: str | Path,
        seed: bytes,
        *,
        origin: str,
        hubs: Sequence[TrustedHub],
        currency: Currency = AIUSD,
        x402: Sequence[X402Offer] = (),
        options: PaywallOptions = _DEFAULT,
        clock: Callable[[], int] = wall_clock_ms,
        client_of: Callable[[TrustedHub, Signer], HubClient] | None = None,
        facilitator_of: Callable[[X402Offer, Signer], FacilitatorClient] | None = None,
    ) -> None:
        self.origin = origin_of(origin)
        self.origin_bytes = self.origin.encode("ascii")
        self.session_path = options.session_path
        if not self.session_path.startswith("/") or self.session_path.endswith("/"):
            raise ConfigInvalid("session_path must start with a slash and end without one")
        self.body_timeout_s = options.body_timeout_s
        self.currency = currency
        self.clock = clock
        self.signer: Signer = SigningKey(seed)
        self.limiter = UnpaidLimiter(options.unpaid_per_s, options.unpaid_burst)
        self.quota = DailyQuota()
        self._exchange = PayeeExchange(seed, self.signer)
        self._store_path = Path(store_path)
        self._hubs = tuple(hubs)
        if not 0 < len(self._hubs) <= 8:
            raise ConfigInvalid("a seller lists 1 to 8 nodes that it accepts")
        self._rules = PayeeRules(
            self.signer.public_key,
            currency.code,
            {hub.network: _exposure(hub, currency) for hub in self._hubs},
            _units_or(options.deposit_min, "0.01", currency),
        )
        if unknown := set(options.x402_extensions) - {PAYMENT_IDENTIFIER}:
            raise ConfigInvalid(f"x402 extension {min(unknown)[:80]!r} is not known")
        self.takes_identifier = PAYMENT_IDENTIFIER in options.x402_extensions
        self.x402: X402Terms | None = (
            X402Terms(x402, currency, identifier=self.takes_identifier) if x402 else None
        )
        self._facilitator_of = facilitator_of or self._facilitator_client
        self._options = options
        self._client_of = client_of or self._node_client
        self._store: SqliteChannelStore | None = None
        self._starting = asyncio.Lock()
        self._redeemers: dict[str, Redeemer] = {}
        self._pruner: asyncio.Task[None] | None = None

    till: Till
    """Set by `start`, as are `desk`, `sessions` and, where there are x402 offers, `sales`."""
    desk: OfferDesk
    sessions: SessionDesk
    sales: SaleDesk

    @property
    def is_started(self) -> bool:
        """Whether calls can be served."""
        return self._store is not None

    async def start(self) -> None:
        """Open the file and start the workers; a second call does nothing.

        Raises:
            FileOwned: another process serves from this file.
            ConfigInvalid: the file is another seller's.
            StoreUnavailable: the file cannot be written.
        """
        async with self._starting:
            if self._store is not None:
                return
            store = SqliteChannelStore(self._store_path, self.signer.public_key)
            commit = self._options.commit
            in_thread = commit == "thread" or (
                commit == "auto" and store.probe_ms() >= INLINE_MS_MAX
            )
            self.till = Till(
                store,
                self._rules,
                self._exchange,
                self.clock,
                in_thread=in_thread,
                on_hub_due=self._hub_due,
            )
            self.desk = OfferDesk(self._terms(), store.secret(), self._exchange)
            self.sessions = SessionDesk(
                self.till, self.signer, self.limiter, self.clock, self._redeem_soon
            )
            if self.x402 is not None:
                clients = {
                    token: self._facilitator_of(token.offer, self.signer)
                    for token in self.x402.tokens
                }
                self.sales = SaleDesk(
                    store.sales, self.till.gatherer, clients, self.currency, self.clock
                )
                self.sales.start()
            for hub in self._hubs:
                client = self._client_of(hub, self.signer)
                self._redeemers[hub.network] = Redeemer(
                    hub.network,
                    self.till,
                    client,
                    self.currency.code,
                    self.clock,
                    sweep=hub.sweep,
                )
                self._redeemers[hub.network].start()
            self._pruner = asyncio.create_task(self._prune(store), name="prune charges")
            self._store = store

    async def stop(self) -> None:
        """Finish what is being committed, redeem what is owed, and close the file."""
        async with self._starting:
            store = self._store
            if store is None:
                return
            if self._pruner is not None:
                self._pruner.cancel()
                await asyncio.gather(self._pruner, return_exceptions=True)
            if self.x402 is not None:
                await self.sales.stop()
            await asyncio.gather(*(redeemer.stop() for redeemer in self._redeemers.values()))
            await self.till.gatherer.close()
            store.close()
            self._redeemers.clear()
            self._store = None

    async def __aenter__(self) -> Paywall:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def redeem(self) -> None:
        """Redeem everything that is owed now, at every hub.

        Raises:
            NodeUnavailable: a hub does not answer; its claims are repeated later.
        """
        for redeemer in self._redeemers.values():
            await redeemer.redeem_all()

    def _terms(self) -> OfferTerms:
        return OfferTerms(
            realm=urlsplit(self.origin).netloc,
            session_url=self.origin + self.session_path,
            currency=self.currency,
            payee=self.signer.public_key,
            hubs=tuple(Hub(hub.network, hub.fee_ppm_max) for hub in self._hubs),
            deposit_min=self._rules.deposit_min,
            ceiling_step_max=_units_or(self._options.ceiling_step_max, "0.05", self.currency),
        )

    def _node_client(self, hub: TrustedHub, signer: Signer) -> HubClient:
        return NodeClient(hub.url, signer, clock=self.clock)

    def _facilitator_client(self, offer: X402Offer, signer: Signer) -> FacilitatorClient:
        return FacilitatorClient(offer.trusted(), signer, clock=self.clock)

    def _hub_due(self, network: str) -> None:
        redeemer = self._redeemers.get(network)
        if redeemer is not None:
            redeemer.due()

    def _redeem_soon(self, network: str) -> asyncio.Future[None]:
        redeemer = self._redeemers.get(network)
        if redeemer is not None:
            return redeemer.soon()
        # The hub is not listed any more: nobody can be asked, so the channel stays closing.
        return asyncio.get_running_loop().create_future()

    async def _prune(self, store: SqliteChannelStore) -> None:
        def some() -> bool:
            now_ms = self.clock()
            answers_before_ms = now_ms - ANSWER_KEPT_MS
            charges_before_ms = now_ms - self._options.charges_kept_s * 1000
            if self.x402 is not None:
                store.sales.prune(
                    answers_before_ms=answers_before_ms,
                    sales_before_ms=charges_before_ms,
                    rows_max=_PRUNED_AT_ONCE,
                )
            return store.prune(
                answers_before_ms=answers_before_ms,
                charges_before_ms=charges_before_ms,
                batches_max=_PRUNED_AT_ONCE,
            )

        while True:
            try:
                has_more = await self.till.gatherer.run(some)
            except StoreUnavailable as error:
                logger.warning("old charges were not pruned: %s", error)
                has_more = False
            await asyncio.sleep(0.05 if has_more else PRUNE_EVERY_S)


def _exposure(hub: TrustedHub, currency: Currency) -> HubExposure:
    cap = hub.unredeemed_cap
    if cap is None:
        cap = parse_units("5", currency.scale)
    return HubExposure(hub.network, key_of_hub_network(hub.network), hub.fee_ppm_max, cap)


def _units_or(units: int | None, default: str, currency: Currency) -> int:
    return parse_units(default, currency.scale) if units is None else units
