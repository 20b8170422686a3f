"""`EvmRail`: ERC-20 tokens in and out over the JSON-RPC of any EVM chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx2

from aisa.errors import (
    ConfigInvalid,
    IdempotencyMismatch,
    InvalidAmount,
    InvalidRequest,
    MalformedMessage,
    NotFound,
    RailUnavailable,
)
from aisa.money import Token
from aisa.protocol.eip712 import chain_id_of
from aisa.protocol.evm_address import format_address, parse_bytes_exact
from aisa.settlement.address_book import AddressBook
from aisa.settlement.evm.answer import MAYBE_RECEIPT
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.destination import check_destination
from aisa.settlement.evm.entry import Call, Entry, Move
from aisa.settlement.evm.erc20 import transfer_data
from aisa.settlement.evm.escrow import EvmEscrow
from aisa.settlement.evm.escrow_settings import EscrowSettings
from aisa.settlement.evm.keys import RailKeys
from aisa.settlement.evm.pull import EvmPull
from aisa.settlement.evm.purse import Purse
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.sender import Sender
from aisa.settlement.evm.settings import EvmSettings
from aisa.settlement.evm.sweeper import Sweep, Sweeper
from aisa.settlement.evm.token_contract import TokenContracts, contract_of
from aisa.settlement.evm.watcher import Watcher
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
)

_QUOTE_MS = 30_000
_ID_MAX = 64
_LEDGER_SCALE_MAX = 9
_TRANSFER_GAS = 120_000
_ROUNDS_MAX = 20


class EvmRail:
    """Tokens at addresses derived from `seed`: one for each account, and the treasury.

    The treasury's key pays gas in the chain's native coin. Everything that it signs is in
    `journal` before it is sent, with the nonce that it uses.

    Raises:
        ConfigInvalid: the network or a token is not of an EVM chain, or a setting cannot work.
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
        settings: EvmSettings | None = None,
        escrow: EscrowSettings | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        chain_id = _chain_id(network, tokens)
        self._network = network
        self._tokens = tuple(tokens)
        self._clock = clock
        self._settings = settings = settings or EvmSettings()
        self._keys = keys = RailKeys(seed, network)
        self._rpc = rpc = EvmRpc(
            rpc_urls,
            chain_id,
            timeout_s=settings.rpc_timeout_s,
            agreeing_min=settings.agreeing_min,
            transport=transport,
        )
        self._chain = chain = Chain(rpc, settings)
        self._contracts = contracts = TokenContracts(rpc, chain_id)
        self._book = AddressBook(self._address, addresses, clock)
        self._sender = sender = Sender(
            rpc=rpc,
            chain=chain,
            chain_id=chain_id,
            signer=keys.treasury,
            journal=journal,
            clock=clock,
            settings=settings,
        )
        self._purse = purse = Purse(rpc, chain, contracts, self._book, sender)
        self._sweeper = Sweeper(
            rpc=rpc,
            chain_id=chain_id,
            keys=keys,
            sender=sender,
            tokens=contracts,
            purse=purse,
            settings=settings,
        )
        self._watcher = Watcher(rpc, chain, self._tokens, self._book, settings)
        self.pull = EvmPull(
            rpc=rpc,
            chain=chain,
            chain_id=chain_id,
            sender=sender,
            tokens=contracts,
            allowed=self._tokens,
            clock=clock,
        )
        self.escrow = None if escrow is None else self._made_escrow(escrow, chain_id)

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
        """The address that pays for gas; it must hold some of the native coin."""
        return format_address(self._keys.treasury.address)

    async def check_network(self) -> None:
        """Compare the servers' chain with the network's name, and each contract with its settings.

        Raises:
            ConfigInvalid: a server is of another chain, a token is not as configured, or the escrow
                is another contract.
            RailUnavailable: a server does not answer.
        """
        await self._rpc.check_chains()
        for token in self._tokens:
            await self._contracts.check(token)
        if self.escrow is not None:
            await self.escrow.check_contract()

    async def quote(self, token: Token, units: int, destination: str) -> RailQuote:
        """See `Rail.quote`; the fee is what gas may cost at most, in wei."""
        call = await self._call(token, units, destination)
        async with self._sender.lock:
            sendable = in_treasury = await self._purse.treasury_units(token)
            if in_treasury < units:  # deposits are many addresses: read only where they are needed
                sendable = await self._purse.sendable_units(token)
        gas = await self._sender.gas(call) if in_treasury >= units else _TRANSFER_GAS
        price = await self._sender.fees.price()
        return RailQuote(
            token=token,
            units=units,
            destination=destination,
            fee_units=gas * price.fee_wei,
            fee_asset=self._native_asset,
            time_s=await self._finality_time_s(),
            units_min=1,
            units_max=sendable,
            expires_at_ms=self._clock() + _QUOTE_MS,
        )

    async def send(self, outgoing: Outgoing) -> Outcome:
        """See `Rail.send`."""
        call = await self._call(outgoing.token, outgoing.units, outgoing.destination)
        if not 0 < len(outgoing.id) <= _ID_MAX or not outgoing.id.isascii():
            raise InvalidRequest(f"the id of a payment out has 1 to {_ID_MAX} ASCII characters")
        for _ in range(_ROUNDS_MAX):
            async with self._sender.lock:
                entry = await self._sender.find(outgoing.id)
                if entry is None:
                    entry = await self._prepare(outgoing, call)
                elif not entry.is_for(call):
                    raise IdempotencyMismatch(f"{outgoing.id} was used for another payment")
            if isinstance(entry, Entry):
                break
            await self._sweeper.finish(entry)
        else:
            raise RailUnavailable("deposits are being swept together; try again shortly")
        if not entry.is_open:
            return entry.outcome()
        return await self._sender.carry_out(outgoing.id)

    async def look_up(self, id: str) -> Outcome:  # noqa: A002 - the port's word
        """See `Rail.look_up`; repeats and replaces what was signed, always with its one nonce."""
        # The lock: a send of this id that is being signed must not be called never sent.
        async with self._sender.lock:
            entry = await self._sender.find(id)
        if entry is None:
            return Failed(FailureReason.NEVER_SENT, "no send of this id was ever written down")
        return await self._sender.look_up(id, entry)

    async def request(self, token: Token, account: str, units: int | None = None) -> DepositRequest:
        """See `Rail.request`."""
        self._check_token(token)
        return DepositRequest(token, account, await self._book.address(account), units)

    async def incoming(self, cursor: bytes) -> Incoming:
        """See `Rail.incoming`."""
        return await self._watcher.incoming(cursor)

    async def holdings(self) -> Mapping[Token, int]:
        """See `Rail.holdings`."""
        return {token: await self._purse.final_units(token) for token in self._tokens}

    async def fees(self, reference: str) -> NetworkFee:
        """See `Rail.fees`; in wei."""
        try:
            parse_bytes_exact(reference, "reference", 32)
        except MalformedMessage as error:
            raise NotFound(f"{reference[:80]!r} names nothing on {self._network}") from error
        receipt = await self._rpc.call(MAYBE_RECEIPT, "eth_getTransactionReceipt", reference)
        if receipt is None:
            raise NotFound(f"{self._network} does not know {reference}")
        return NetworkFee(receipt.fee_wei, self._native_asset)

    async def conditions(self) -> Conditions:
        """See `Rail.conditions`."""
        market = await self._sender.fees.market()
        head = await self._chain.head()
        now_ms = self._clock()
        return Conditions(
            fee_units=_TRANSFER_GAS * (market.base_wei + market.tip_wei),
            fee_asset=self._native_asset,
            time_s=await self._finality_time_s(),
            congestion_ppm=market.congestion_ppm,
            age_ms=max(0, now_ms - head.time_s * 1000),
            measured_at_ms=now_ms,
        )

    async def liquidity(self) -> tuple[Liquidity, ...]:
        """See `Rail.liquidity`."""
        found: list[Liquidity] = []
        for token in self._tokens:
            async with self._sender.lock:
                found.append(Liquidity(token, await self._purse.sendable_units(token), None))
        return tuple(found)

    async def close(self) -> None:
        """Close the connections."""
        await self.pull.close()
        await self._rpc.close()

    async def __aenter__(self) -> EvmRail:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.close()

    @property
    def _native_asset(self) -> str:
        return f"{self._network}/slip44:{self._settings.coin}"

    def _made_escrow(self, escrow: EscrowSettings, chain_id: int) -> EvmEscrow:
        return EvmEscrow(
            network=self._network,
            rpc=self._rpc,
            chain=self._chain,
            chain_id=chain_id,
            sender=self._sender,
            tokens=self._contracts,
            allowed=self._tokens,
            purse=self._purse,
            clock=self._clock,
            settings=self._settings,
            escrow=escrow,
        )

    async def _prepare(self, outgoing: Outgoing, call: Call) -> Entry | Sweep:
        """Write a payment out down, or begin to sweep what it lacks. Under the lock."""
        held = await self._purse.treasury_units(outgoing.token)
        if held < outgoing.units:
            return await self._sweeper.begin(outgoing.token, outgoing.units - held)
        return await self._sender.submit(outgoing.id, call)

    async def _call(self, token: Token, units: int, destination: str) -> Call:
        self._check_token(token)
        # The ledger counts in 63 bits, at nine digits after the point or fewer.
        limit = 2**63 * 10 ** max(0, token.scale - _LEDGER_SCALE_MAX)
        if not 1 <= units < limit:
            raise InvalidAmount(f"a payment out has at least one unit, and less than {limit}")
        own = await self._purse.own_addresses()
        to = check_destination(destination, own=own, tokens=self._tokens)
        await self._contracts.check(token)
        contract = contract_of(token)
        return Call(
            "pay",
            contract,
            transfer_data(to, units),
            asset=token.asset,
            units=units,
            destination=destination,
            move=Move(contract, self._sender.own, to, str(units)),
        )

    async def _finality_time_s(self) -> int:
        """How old the newest final block is, by the chain's own clock."""
        head, final = await self._chain.head(), await self._chain.final_height()
        if final < 0:
            return 1
        return max(1, head.time_s - (await self._chain.block(final)).time_s)

    def _check_token(self, token: Token) -> None:
        if token not in self._tokens:
            raise InvalidRequest(f"{token.symbol} on {token.network} is not on this rail")

    def _address(self, account: str) -> str:
        return format_address(self._keys.deposit(account).address)


def _chain_id(network: str, tokens: Sequence[Token]) -> int:
    try:
        chain_id = chain_id_of(network)
        for token in tokens:
            if not token.asset.startswith(f"{network}/erc20:"):
                raise ConfigInvalid(f"{token.symbol} is not an ERC-20 token on {network}")
            contract_of(token)
    except MalformedMessage as error:
        raise ConfigInvalid(error.detail) from error
    return chain_id
