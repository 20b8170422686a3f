"""`MemoryRail`: the port's rules over a `MemoryNetwork`, doubt included."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from aisa import faults
from aisa.errors import (
    IdempotencyMismatch,
    InvalidAmount,
    InvalidRequest,
    MalformedMessage,
    NotFound,
    RailError,
    RailUnavailable,
)
from aisa.money import Token
from aisa.settlement.memory.network import Landing, MemoryNetwork, Payment
from aisa.settlement.rail import (
    Conditions,
    Deposit,
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
    Settled,
    Unknown,
)

_ADDRESS_PREFIX = "memory:"
_PAGE = 500
_QUOTE_MS = 30_000


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the journal keeps of one send."""

    asset: str
    units: int
    destination: str
    reference: str
    valid_until_ms: int


class MemoryRail:
    """A rail of one node on a memory network; its tokens lie at the address `treasury`."""

    def __init__(
        self,
        network: MemoryNetwork,
        tokens: tuple[Token, ...],
        *,
        journal: SendJournal,
        addresses: DepositAddresses,
        treasury: str = "memory:treasury",
        timeout_s: float = 0.2,
        poll_s: float = 0.005,
    ) -> None:
        self._world = network
        self._tokens = tokens
        self._journal = journal
        self._addresses = addresses
        self._treasury = treasury
        self._timeout_s = timeout_s
        self._poll_s = poll_s
        self._signing = asyncio.Lock()

    @property
    def network(self) -> str:
        """The memory network's name."""
        return self._world.name

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens that this rail moves."""
        return self._tokens

    @property
    def treasury(self) -> str:
        """The address that payments go out from."""
        return self._treasury

    async def quote(self, token: Token, units: int, destination: str) -> RailQuote:
        """See `Rail.quote`."""
        await self._check(token, units, destination)
        await self._world.answer()
        return RailQuote(
            token=token,
            units=units,
            destination=destination,
            fee_units=self._world.fee_units,
            fee_asset=token.asset,
            time_s=-(-self._world.finality_ms // 1000),
            units_min=1,
            units_max=max(0, await self._held(token) - self._world.fee_units),
            expires_at_ms=self._world.clock() + _QUOTE_MS,
        )

    async def send(self, outgoing: Outgoing) -> Outcome:
        """See `Rail.send`."""
        await self._check(outgoing.token, outgoing.units, outgoing.destination)
        async with self._signing:
            entry = await self._load(outgoing.id)
            if entry is None:
                entry = await self._write_down(outgoing)
        described = (entry.asset, entry.units, entry.destination)
        if described != (outgoing.token.asset, outgoing.units, outgoing.destination):
            raise IdempotencyMismatch(f"{outgoing.id} was used for another payment")
        if self._world.clock() <= entry.valid_until_ms:
            await self._submit(entry, outgoing.token)
        return await self._wait(entry)

    async def look_up(self, id: str) -> Outcome:  # noqa: A002 - the port's word
        """See `Rail.look_up`."""
        entry = await self._load(id)
        if entry is None:
            return Failed(FailureReason.NEVER_SENT, "no send of this id was ever written down")
        return await self._decide(entry)

    async def request(self, token: Token, account: str, units: int | None = None) -> DepositRequest:
        """See `Rail.request`."""
        self._check_token(token)
        digest = hashlib.sha256(f"{self.network} {self._treasury} {account}".encode())
        address = _ADDRESS_PREFIX + digest.hexdigest()[:32]
        await self._addresses.add(account, address)
        return DepositRequest(token, account, address, units)

    async def incoming(self, cursor: bytes) -> Incoming:
        """See `Rail.incoming`; the cursor is a place in the network's log."""
        await self._world.answer()
        at = _parse_cursor(cursor)
        account_by_address = {
            address: account for account, address in await self._addresses.entries()
        }
        deposits: list[Deposit] = []
        for landing in self._world.landings[at : at + _PAGE]:
            if not self._world.is_final(landing):
                break
            account = account_by_address.get(landing.payment.destination)
            is_credit = not landing.error and landing.payment.token in self._tokens
            if account is not None and is_credit:
                deposits.append(self._deposit(account, landing))
            at += 1
        return Incoming(tuple(deposits), str(at).encode())

    async def holdings(self) -> Mapping[Token, int]:
        """See `Rail.holdings`."""
        await self._world.answer()
        return {token: await self._held(token) for token in self._tokens}

    async def fees(self, reference: str) -> NetworkFee:
        """See `Rail.fees`."""
        landing = await self._world.find(reference)
        if landing is None:
            raise NotFound(f"{self.network} does not know {reference}")
        return NetworkFee(landing.fee_units, landing.payment.token.asset)

    async def conditions(self) -> Conditions:
        """See `Rail.conditions`."""
        await self._world.answer()
        return Conditions(
            fee_units=self._world.fee_units,
            fee_asset=self._tokens[0].asset,
            time_s=-(-self._world.finality_ms // 1000),
            congestion_ppm=0,
            age_ms=0,
            measured_at_ms=self._world.clock(),
        )

    async def liquidity(self) -> tuple[Liquidity, ...]:
        """See `Rail.liquidity`."""
        held = await self.holdings()
        return tuple(Liquidity(token, held[token], None) for token in self._tokens)

    async def close(self) -> None:
        """Nothing to release."""

    async def _write_down(self, outgoing: Outgoing) -> _Entry:
        await self._world.answer()
        await self._gather(outgoing.token)
        needed = outgoing.units + self._world.fee_units
        if self._world.balance(self._treasury, outgoing.token) < needed:
            raise RailUnavailable(f"the rail holds less than {needed} {outgoing.token.symbol}")
        entry = _Entry(
            asset=outgoing.token.asset,
            units=outgoing.units,
            destination=outgoing.destination,
            reference=hashlib.sha256(f"{self.network} {outgoing.id}".encode()).hexdigest(),
            valid_until_ms=self._world.clock() + self._world.validity_ms,
        )
        faults.hit("memory.journal.before")
        await self._journal.save(outgoing.id, msgspec.json.encode(entry))
        faults.hit("memory.journal.after")
        return entry

    async def _submit(self, entry: _Entry, token: Token) -> None:
        faults.hit("memory.send.before")
        try:
            await self._world.submit(
                Payment(
                    reference=entry.reference,
                    source=self._treasury,
                    destination=entry.destination,
                    token=token,
                    units=entry.units,
                    valid_until_ms=entry.valid_until_ms,
                )
            )
        except RailUnavailable:
            return  # it may have been taken: from here on, only look
        faults.hit("memory.send.after")

    async def _wait(self, entry: _Entry) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    outcome = await self._decide(entry)
                    if not isinstance(outcome, Unknown):
                        return outcome
                    await asyncio.sleep(self._poll_s)
        except TimeoutError:
            return Unknown(entry.reference)

    async def _decide(self, entry: _Entry) -> Outcome:
        try:
            landing = await self._world.find(entry.reference)
        except RailError:
            return Unknown(entry.reference)
        if landing is not None:
            if landing.error:
                return Failed(FailureReason.REFUSED, landing.error, entry.reference)
            return Settled(entry.reference)
        is_over = self._world.clock() > entry.valid_until_ms
        if is_over and not self._world.knows(entry.reference):
            detail = "it did not land while it was valid"
            return Failed(FailureReason.EXPIRED, detail, entry.reference)
        return Unknown(entry.reference)

    async def _gather(self, token: Token) -> None:
        """Move what lies at deposit addresses to the treasury; costs nothing here."""
        for _, address in await self._addresses.entries():
            units = self._world.balance(address, token)
            if units:
                self._world.pay(address, self._treasury, token, units)

    async def _held(self, token: Token) -> int:
        addresses = [address for _, address in await self._addresses.entries()]
        return sum(self._world.balance(one, token) for one in (self._treasury, *addresses))

    def _deposit(self, account: str, landing: Landing) -> Deposit:
        event = f"{self.network} {landing.payment.reference} 0"
        return Deposit(
            id="dep_" + hashlib.sha256(event.encode()).hexdigest()[:32],
            network=self.network,
            account=account,
            token=landing.payment.token,
            units=landing.payment.units,
            reference=landing.payment.reference,
        )

    async def _check(self, token: Token, units: int, destination: str) -> None:
        self._check_token(token)
        if not 1 <= units < 2**63:
            raise InvalidAmount("a payment out has at least one unit, and less than 2^63")
        if not destination.startswith(_ADDRESS_PREFIX) or len(destination) > 64:
            raise InvalidRequest(f"{destination[:64]!r} is not an address of {self.network}")
        own = {address for _, address in await self._addresses.entries()} | {self._treasury}
        if destination in own:
            raise InvalidRequest(
                "the destination is this node's own", hint="name an address outside of the node"
            )

    def _check_token(self, token: Token) -> None:
        if token not in self._tokens:
            raise InvalidRequest(f"{token.symbol} on {token.network} is not on this rail")

    async def _load(self, id: str) -> _Entry | None:  # noqa: A002
        body = await self._journal.load(id)
        return None if body is None else msgspec.json.decode(body, type=_Entry)


def _parse_cursor(cursor: bytes) -> int:
    if cursor and not cursor.isdigit():
        raise MalformedMessage("not a cursor of this rail")
    return int(cursor or b"0")
