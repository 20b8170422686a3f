"""Finding final deposits at the addresses that were given out, from a cursor on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from aisa.money import Token
from aisa.protocol.evm_address import parse_address
from aisa.settlement.address_book import AddressBook
from aisa.settlement.evm.answer import LOGS, Block, Log, Receipt, data_bytes, quantity, word
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.erc20 import TRANSFER_TOPIC, address_in_topic, topic_address
from aisa.settlement.evm.mark import Mark, parse_mark, read_in_ranges, standing_blocks, thinned
from aisa.settlement.evm.rpc import EvmRpc, disagreement
from aisa.settlement.evm.settings import EvmSettings
from aisa.settlement.evm.token_contract import contract_of
from aisa.settlement.rail import Deposit, Incoming

_ADDRESSES_PER_CALL = 500
_DEPOSITS_MAX = 500
_EARLIER_S = 86_400
"""Blocks so long before the first address was given cannot hold a deposit, whatever clocks say."""


@dataclass(frozen=True, slots=True)
class _Seen:
    height: int
    log: Log


class Watcher:
    """Reads the transfers to the watched addresses, out of final blocks alone.

    Logs, receipts and block hashes count only as the RPC servers agree on them.
    """

    def __init__(
        self,
        rpc: EvmRpc,
        chain: Chain,
        tokens: Sequence[Token],
        book: AddressBook,
        settings: EvmSettings,
    ) -> None:
        self._rpc = rpc
        self._chain = chain
        self._book = book
        self._tokens = {contract_of(token): token for token in tokens}
        self._settings = settings

    async def incoming(self, cursor: bytes) -> Incoming:
        """Final deposits after a cursor, oldest first, whole blocks at a time.

        Raises:
            MalformedMessage: not a cursor of this rail.
            RailUnavailable: the network does not answer, or its servers disagree.
        """
        mark = parse_mark(cursor)
        final = await self._chain.final_height()
        if mark.blocks and mark.blocks[-1][0] > final:
            return Incoming((), cursor)  # servers that are behind: nothing to compare with yet
        kept = await standing_blocks(self._chain, mark)
        # Asked after the height: what is given out from here on is paid in later blocks.
        entries = await self._book.entries()
        accounts = {parse_address(address): account for account, address in entries}
        start = kept[-1][0] + 1 if kept else await self._birth(final)
        seen, until = await self._logs(start, final, accounts)
        seen, until = _whole_blocks(seen, until)
        deposits = await self._deposits(seen, accounts)
        if until < start:
            return Incoming(tuple(deposits), msgspec.json.encode(Mark(kept)) if kept else cursor)
        last = await self._chain.block(until)
        return Incoming(tuple(deposits), msgspec.json.encode(Mark(thinned(kept, last))))

    async def _birth(self, final: int) -> int:
        """A block before the first address was given out."""
        given_ms = await self._book.given_ms()
        low, high = 0, max(0, final)
        if not given_ms:
            return high
        since_s = min(given_ms.values()) // 1000 - _EARLIER_S
        while low < high:
            middle = (low + high + 1) // 2
            block = await self._rpc.call(Block, "eth_getBlockByNumber", hex(middle), False)
            if block.time_s <= since_s:
                low = middle
            else:
                high = middle - 1
        return low

    async def _logs(
        self, start: int, final: int, accounts: Mapping[bytes, str]
    ) -> tuple[list[_Seen], int]:
        """Transfers to our addresses from a block on, and the block up to which they are complete."""
        if not accounts:
            return [], final
        return await read_in_ranges(
            lambda first, last: self._range(first, last, accounts),
            start,
            final,
            blocks_max=self._settings.log_blocks_max,
            enough=_DEPOSITS_MAX,
        )

    async def _range(self, start: int, end: int, accounts: Mapping[bytes, str]) -> list[_Seen]:
        contracts = ["0x" + address.hex() for address in self._tokens]
        topics = [topic_address(address) for address in sorted(accounts)]
        wishes = [
            [
                {
                    "fromBlock": hex(start),
                    "toBlock": hex(end),
                    "address": contracts,
                    "topics": [TRANSFER_TOPIC, None, topics[at : at + _ADDRESSES_PER_CALL]],
                }
            ]
            for at in range(0, len(topics), _ADDRESSES_PER_CALL)
        ]
        pieces = await self._rpc.agreed(LOGS, "eth_getLogs", wishes, having=end)
        seen = [_Seen(quantity(log.block_number), log) for piece in pieces for log in piece]
        for one in seen:
            if not start <= one.height <= end or not self._is_ours(one.log, accounts):
                raise disagreement("what was asked for")
        return sorted(seen, key=lambda one: (one.height, quantity(one.log.log_index)))

    def _is_ours(self, log: Log, accounts: Mapping[bytes, str]) -> bool:
        return (
            not log.removed
            and len(log.topics) == 3
            and log.topics[0] == TRANSFER_TOPIC
            and data_bytes(log.address) in self._tokens
            and address_in_topic(log.topics[2]) in accounts
        )

    async def _deposits(
        self, seen: Sequence[_Seen], accounts: Mapping[bytes, str]
    ) -> list[Deposit]:
        """Deposits as the receipts show them; those must hold what the logs say."""
        hashes = list(dict.fromkeys(one.log.transaction_hash for one in seen))
        receipts: dict[str, Receipt] = {}
        if hashes:
            answers = await self._rpc.agreed(
                Receipt, "eth_getTransactionReceipt", [[one] for one in hashes]
            )
            receipts = dict(zip(hashes, answers, strict=True))
        deposits: list[Deposit] = []
        for one in seen:
            receipt = receipts[one.log.transaction_hash]
            if one.log not in receipt.logs or not receipt.is_success:
                raise disagreement(f"the receipt of {one.log.transaction_hash}")
            units = word(one.log.data)
            if units:  # anyone may send nothing, to be noticed
                deposits.append(self._deposit(one.log, receipt, units, accounts))
        return deposits

    def _deposit(
        self, log: Log, receipt: Receipt, units: int, accounts: Mapping[bytes, str]
    ) -> Deposit:
        token = self._tokens[data_bytes(log.address)]
        # The place in its own chain tx: the place in the block changes if the block is made anew.
        place = receipt.logs.index(log)
        return Deposit(
            id=_deposit_id(token.network, log.transaction_hash, place),
            network=token.network,
            account=accounts[address_in_topic(log.topics[2])],
            token=token,
            units=units,
            reference=log.transaction_hash,
        )


def _whole_blocks(seen: list[_Seen], until: int) -> tuple[list[_Seen], int]:
    """The oldest transfers up to a limit, never part of a block; and the block that they reach."""
    if len(seen) <= _DEPOSITS_MAX:
        return seen, until
    last = seen[_DEPOSITS_MAX - 1].height
    return [one for one in seen if one.height <= last], last


def _deposit_id(network: str, transaction_hash: str, place: int) -> str:
    event = f"{network} {transaction_hash} {place}"
    return "dep_" + hashlib.sha256(event.encode()).hexdigest()[:32]
