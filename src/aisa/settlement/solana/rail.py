"""`SolanaRail`: SPL tokens in and out over any Solana RPC."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import httpx2
from solders.pubkey import Pubkey

from aisa import faults
from aisa.errors import (
    AisaError,
    ConfigInvalid,
    IdempotencyMismatch,
    InvalidAmount,
    InvalidRequest,
    NotFound,
)
from aisa.money import Token
from aisa.settlement.address_book import AddressBook
from aisa.settlement.rail import (
    Clock,
    Conditions,
    DepositAddresses,
    DepositRequest,
    Failed,
    FailureReason,
    Incoming,
    Liquidity,
    NetworkFee,
    Outcome,
    Outgoing,
    RailQuote,
    SendJournal,
    Unknown,
)
from aisa.settlement.solana.answer import MAYBE_LANDED
from aisa.settlement.solana.destination import Target, find_target
from aisa.settlement.solana.entry import Entry, parse_entry
from aisa.settlement.solana.keys import RailKeys
from aisa.settlement.solana.outbox import Outbox
from aisa.settlement.solana.purse import Purse
from aisa.settlement.solana.rpc import SolanaRpc
from aisa.settlement.solana.settings import SolanaSettings
from aisa.settlement.solana.tracker import Tracker
from aisa.settlement.solana.watcher import Watcher

_QUOTE_MS = 30_000
_ID_MAX = 64


class SolanaRail:
    """Tokens at addresses derived from `seed`: one for each account, and the treasury.

    The treasury's key pays fees in SOL. Payments out are written to `journal` as signed bytes
    before the first send, and never signed again under the same id.

    Raises:
        ConfigInvalid: a token is not of this network, or there is no RPC URL.
    """

    def __init__(  # noqa: PLR0913 - all by name; each is something that only the node knows
        self,
        *,
        network: str,
        tokens: Sequence[Token],
        rpc_urls: Sequence[str],
        seed: bytes,
        journal: SendJournal,
        addresses: DepositAddresses,
        clock: Clock,
        settings: SolanaSettings | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        for token in tokens:
            if token.network != network or not token.asset.startswith(f"{network}/token:"):
                raise ConfigInvalid(f"{token.symbol} is not a token on {network}")
        self._network = network
        self._tokens = tuple(tokens)
        self._journal = journal
        self._clock = clock
        self._settings = settings or SolanaSettings()
        self._keys = RailKeys(seed, network)
        self._rpc = SolanaRpc(rpc_urls, transport=transport)
        self._book = AddressBook(self._keys.deposit_address, addresses, clock)
        self._purse = Purse(self._rpc, self._book, self._keys)
        self._tracker = Tracker(self._rpc, self._settings)
        self._outbox = Outbox(self._rpc, self._keys, self._purse, self._tracker, self._settings)
        self._watcher = Watcher(self._rpc, self._keys, self._tokens, self._settings)
        self._signing = asyncio.Lock()

    @property
    def network(self) -> str:
        """The network's CAIP-2 name."""
        return self._network

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens that this rail moves."""
        return self._tokens

    @property
    def treasury(self) -> str:
        """The address that pays fees; it must hold some SOL."""
        return str(self._keys.treasury.pubkey())

    async def check_network(self) -> None:
        """Compare the RPC nodes' genesis hash with the network's name; call it before use.

        Raises:
            ConfigInvalid: an RPC node is of another network.
            RailUnavailable: one of them does not answer.
        """
        for genesis_hash in await self._rpc.call_every(str, "getGenesisHash"):
            if f"solana:{genesis_hash[:32]}" != self._network:
                raise ConfigInvalid(
                    f"an RPC node is of solana:{genesis_hash[:32]}, not of {self._network}"
                )

    async def quote(self, token: Token, units: int, destination: str) -> RailQuote:
        """See `Rail.quote`; the fee is in lamports and counts two source accounts."""
        mint = self._check(token, units)
        target = await self._target(destination, mint)
        price = await self._outbox.priority_price()
        return RailQuote(
            token=token,
            units=units,
            destination=destination,
            fee_units=self._outbox.cost_lamports(2, price, target),
            fee_asset=self._native_asset,
            time_s=self._settings.finality_time_s,
            units_min=1,
            units_max=await self._purse.units(mint, "confirmed"),
            expires_at_ms=self._clock() + _QUOTE_MS,
        )

    async def send(self, outgoing: Outgoing) -> Outcome:
        """See `Rail.send`."""
        mint = self._check(outgoing.token, outgoing.units)
        if not 0 < len(outgoing.id) <= _ID_MAX or not outgoing.id.isascii():
            raise InvalidRequest(f"the id of a payment out has 1 to {_ID_MAX} ASCII characters")
        async with self._signing:
            entry = await self._load(outgoing.id)
            if entry is None:
                entry = await self._write_down(outgoing, mint)
            elif not entry.is_for(outgoing):
                raise IdempotencyMismatch(f"{outgoing.id} was used for another payment")
        if entry.state != "open":
            return entry.outcome()
        self._purse.reserve(entry.signature, entry.debits)
        await self._tracker.broadcast(entry)
        return await self._close(outgoing.id, entry, await self._tracker.wait(entry))

    async def look_up(self, id: str) -> Outcome:  # noqa: A002 - the port's word
        """See `Rail.look_up`; repeats the signed bytes while they may still land."""
        # The lock: a send of this id that is being signed must not be called never sent.
        async with self._signing:
            entry = await self._load(id)
        if entry is None:
            return Failed(FailureReason.NEVER_SENT, "no send of this id was ever written down")
        if entry.state != "open":
            return entry.outcome()
        self._purse.reserve(entry.signature, entry.debits)
        outcome = await self._tracker.decide(entry)
        if isinstance(outcome, Unknown):
            await self._tracker.broadcast(entry)
        return await self._close(id, entry, outcome)

    async def request(self, token: Token, account: str, units: int | None = None) -> DepositRequest:
        """See `Rail.request`; wallets send to this owner's associated token account."""
        self._check_token(token)
        return DepositRequest(token, account, await self._book.address(account), units)

    async def incoming(self, cursor: bytes) -> Incoming:
        """See `Rail.incoming`."""
        return await self._watcher.incoming(cursor, await self._book.given_ms(), self._clock())

    async def holdings(self) -> Mapping[Token, int]:
        """See `Rail.holdings`."""
        return {
            token: await self._purse.units(_mint(token), self._settings.finality)
            for token in self._tokens
        }

    async def fees(self, reference: str) -> NetworkFee:
        """See `Rail.fees`; in lamports, without rent, which stays in the account it made."""
        options = {
            "encoding": "json",
            "commitment": "confirmed",
            "maxSupportedTransactionVersion": 0,
        }
        landed = await self._rpc.call(MAYBE_LANDED, "getTransaction", reference, options)
        if landed is None:
            raise NotFound(f"{self._network} does not know {reference}")
        return NetworkFee(landed.meta.fee, self._native_asset)

    async def conditions(self) -> Conditions:
        """See `Rail.conditions`."""
        price = await self._outbox.priority_price()
        slot = await self._rpc.call(int, "getSlot", {"commitment": "confirmed"})
        seen_at_s = await self._rpc.call(int, "getBlockTime", slot)
        now_ms = self._clock()
        share_ppm = price * 1_000_000 // max(1, self._settings.priority_price_max)
        return Conditions(
            fee_units=self._outbox.cost_lamports(1, price),
            fee_asset=self._native_asset,
            time_s=self._settings.finality_time_s,
            congestion_ppm=min(1_000_000, share_ppm),
            age_ms=max(0, now_ms - seen_at_s * 1000),
            measured_at_ms=now_ms,
        )

    async def liquidity(self) -> tuple[Liquidity, ...]:
        """See `Rail.liquidity`."""
        return tuple(
            [
                Liquidity(
                    token, sum(one.units for one in await self._purse.filled(_mint(token))), None
                )
                for token in self._tokens
            ]
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._rpc.close()

    async def __aenter__(self) -> SolanaRail:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()

    @property
    def _native_asset(self) -> str:
        return f"{self._network}/slip44:501"

    async def _write_down(self, outgoing: Outgoing, mint: Pubkey) -> Entry:
        """Sign, and journal before anything is sent; called under the lock."""
        target = await self._target(outgoing.destination, mint)
        entry = await self._outbox.prepare(outgoing, target)
        faults.hit("solana.journal.before")
        await self._journal.save(outgoing.id, entry.to_bytes())
        faults.hit("solana.journal.after")
        self._purse.reserve(entry.signature, entry.debits)
        return entry

    async def _close(self, id: str, entry: Entry, outcome: Outcome) -> Outcome:  # noqa: A002
        if isinstance(outcome, Unknown):
            return outcome
        # An exception would say that nothing was sent. What was proved can be proved again.
        with contextlib.suppress(AisaError):
            await self._journal.save(id, entry.closed(outcome).to_bytes())
        self._purse.release(entry.signature)
        return outcome

    async def _target(self, destination: str, mint: Pubkey) -> Target:
        own = await self._purse.own_addresses(mint)
        return await find_target(self._rpc, destination, mint, own=own)

    def _check(self, token: Token, units: int) -> Pubkey:
        self._check_token(token)
        if not 1 <= units < 2**63:
            raise InvalidAmount("a payment out has at least one unit, and less than 2^63")
        return _mint(token)

    def _check_token(self, token: Token) -> None:
        if token not in self._tokens:
            raise InvalidRequest(f"{token.symbol} on {token.network} is not on this rail")

    async def _load(self, id: str) -> Entry | None:  # noqa: A002
        body = await self._journal.load(id)
        return None if body is None else parse_entry(id, body)


def _mint(token: Token) -> Pubkey:
    return Pubkey.from_string(token.reference)
