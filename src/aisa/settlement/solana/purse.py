"""The node's token accounts: what they hold, and which of them pay for a payment out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from aisa.errors import RailUnavailable
from aisa.settlement.address_book import AddressBook
from aisa.settlement.solana.answer import STATUSES, AccountRow, InContext, token_units
from aisa.settlement.solana.keys import RailKeys, token_account
from aisa.settlement.solana.rpc import SolanaRpc

SOURCES_MAX = 5
_ACCOUNTS_PER_CALL = 100
_STATUSES_PER_CALL = 256
_READS_MAX = 8


@dataclass(frozen=True, slots=True)
class Source:
    """One token account of ours and the units that may still be taken from it."""

    owner: Keypair
    account: Pubkey
    units: int


class Purse:
    """Every token account that the rail's keys own, less what open sends take from them.

    Reservations live in memory only: after a restart two sends may pick the same units, and then
    the network refuses the later one, which is a proved failure and no loss.
    """

    def __init__(self, rpc: SolanaRpc, book: AddressBook, keys: RailKeys) -> None:
        self._rpc = rpc
        self._book = book
        self._keys = keys
        self._reserved: dict[str, Mapping[str, int]] = {}

    async def own_addresses(self, mint: Pubkey) -> list[Pubkey]:
        """Every address of ours: owners and their token accounts for a mint."""
        owners = [owner.pubkey() for owner in await self._owners()]
        return owners + [token_account(owner, mint) for owner in owners]

    async def units(self, mint: Pubkey, commitment: str) -> int:
        """What all token accounts hold together."""
        owners = await self._owners()
        return sum(one.units for one in await self._read(owners, mint, commitment))

    async def sources(self, mint: Pubkey, units: int) -> Sequence[Source]:
        """The token accounts to take units from: the treasury's if it can, else the fullest.

        Holds less than `units` together when a single chain tx cannot carry enough of them.
        """
        owners = await self._owners()
        treasury = (await self._free(owners[:1], mint))[0]
        if treasury.units >= units:
            return [treasury]
        fullest = sorted(await self.filled(mint), key=lambda source: source.units, reverse=True)
        chosen: list[Source] = []
        for source in fullest[:SOURCES_MAX]:
            chosen.append(source)
            if sum(one.units for one in chosen) >= units:
                break
        return chosen

    async def filled(self, mint: Pubkey) -> list[Source]:
        """The token accounts that hold units which no open send takes."""
        return [one for one in await self._free(await self._owners(), mint) if one.units > 0]

    def reserve(self, signature: str, debits: Mapping[str, int]) -> None:
        """Take units out of the count while a chain tx is open."""
        self._reserved[signature] = debits

    def release(self, signature: str) -> None:
        """Forget a reservation once its chain tx is settled or failed."""
        self._reserved.pop(signature, None)

    async def _owners(self) -> list[Keypair]:
        """The treasury's key, then those of all accounts."""
        deposits = [self._keys.deposit(account) for account, _ in await self._book.entries()]
        return [self._keys.treasury, *deposits]

    async def _free(self, owners: Sequence[Keypair], mint: Pubkey) -> list[Source]:
        """Balances less what open chain txs will still take: those that are not in them yet."""
        for _ in range(_READS_MAX):
            landed = await self._landed()
            sources = await self._read(owners, mint, "confirmed")
            if await self._landed() == landed:
                return [self._less_reserved(source, landed) for source in sources]
        raise RailUnavailable("the node's own payments land faster than balances can be read")

    def _less_reserved(self, source: Source, landed: Set[str]) -> Source:
        taken = sum(
            debits.get(str(source.account), 0)
            for signature, debits in self._reserved.items()
            if signature not in landed
        )
        return Source(source.owner, source.account, max(0, source.units - taken))

    async def _landed(self) -> Set[str]:
        """The open chain txs whose effect is in confirmed balances, or that failed."""
        signatures = list(self._reserved)
        pieces = [
            [signatures[at : at + _STATUSES_PER_CALL]]
            for at in range(0, len(signatures), _STATUSES_PER_CALL)
        ]
        answers = await self._rpc.call_many(STATUSES, "getSignatureStatuses", pieces)
        statuses = [status for answer in answers for status in answer.value]
        if len(statuses) != len(signatures):
            raise RailUnavailable("the RPC node left out signatures that it was asked for")
        return {
            signature
            for signature, status in zip(signatures, statuses, strict=True)
            if status is not None and status.confirmation_status in {"confirmed", "finalized"}
        }

    async def _read(self, owners: Sequence[Keypair], mint: Pubkey, commitment: str) -> list[Source]:
        accounts = [token_account(owner.pubkey(), mint) for owner in owners]
        options = {"encoding": "base64", "commitment": commitment}
        pieces = [
            [[str(one) for one in accounts[at : at + _ACCOUNTS_PER_CALL]], options]
            for at in range(0, len(accounts), _ACCOUNTS_PER_CALL)
        ]
        answers = await self._rpc.call_many(
            InContext[tuple[AccountRow | None, ...]], "getMultipleAccounts", pieces
        )
        rows = [row for piece in answers for row in piece.value]
        if len(rows) != len(accounts):
            raise RailUnavailable("the RPC node left out accounts that it was asked for")
        return [
            Source(owner, account, 0 if row is None else token_units(row.bytes()))
            for owner, account, row in zip(owners, accounts, rows, strict=True)
        ]
