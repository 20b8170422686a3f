"""The node's addresses: what they hold of a token, and what may still be taken from it."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.money import Token
from aisa.protocol.evm_address import parse_address
from aisa.settlement.address_book import AddressBook
from aisa.settlement.evm.answer import quantity
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.sender import Sender
from aisa.settlement.evm.token_contract import TokenContracts

SPENDING = frozenset({"pay", "escrow-fund"})
"""Purposes of chain txs that take tokens from the treasury."""


@dataclass(frozen=True, slots=True)
class Source:
    """A deposit address and the units on it."""

    account: str
    address: bytes
    units: int


class Purse:
    """Balances of the treasury and of every deposit address."""

    def __init__(
        self,
        rpc: EvmRpc,
        chain: Chain,
        tokens: TokenContracts,
        book: AddressBook,
        sender: Sender,
    ) -> None:
        self._rpc = rpc
        self._chain = chain
        self._tokens = tokens
        self._book = book
        self._sender = sender

    async def own_addresses(self) -> set[bytes]:
        """Every address of ours."""
        entries = await self._book.entries()
        return {self._sender.own, *(parse_address(address) for _, address in entries)}

    async def final_units(self, token: Token) -> int:
        """What all addresses hold together in the newest final block, as the servers agree.

        Raises:
            RailUnavailable: they do not, or too few answer.
        """
        height = await self._chain.final_height()
        if height < 0:
            return 0
        owners = sorted(await self.own_addresses())
        return sum(await self._tokens.balances(token, owners, height, is_agreed=True))

    async def treasury_units(self, token: Token) -> int:
        """What the treasury can still spend.

        Balance and count of used nonces are read at one block, so that a payment out is subtracted
        exactly if that block does not have it. Under the sender's lock.
        """
        head = await self._chain.head()
        (units,) = await self._tokens.balances(token, [self._sender.own], head.height)
        own = "0x" + self._sender.own.hex()
        used = quantity(await self._rpc.call(str, "eth_getTransactionCount", own, head.number))
        return units - sum(
            int(entry.units)
            for entry in await self._sender.open_entries()
            if entry.purpose in SPENDING and entry.asset == token.asset and entry.nonce >= used
        )

    async def sources(self, token: Token) -> list[Source]:
        """The deposit addresses that hold units, the fullest first."""
        entries = await self._book.entries()
        head = await self._chain.head()
        owners = [parse_address(address) for _, address in entries]
        units = await self._tokens.balances(token, owners, head.height)
        found = [
            Source(account, owner, held)
            for (account, _), owner, held in zip(entries, owners, units, strict=True)
            if held > 0
        ]
        return sorted(found, key=lambda source: source.units, reverse=True)

    async def sendable_units(self, token: Token) -> int:
        """What can be sent now, deposits that must be swept first included. Under the lock."""
        sources = await self.sources(token)
        return max(0, await self.treasury_units(token) + sum(one.units for one in sources))
