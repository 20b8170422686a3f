"""Finding the withdrawals that payers begin, soon enough to claim before they end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from aisa.protocol.evm_address import format_bytes
from aisa.settlement.escrow import Leaving, LeavingNotice, LeavingNotices
from aisa.settlement.evm.answer import LOGS, Log, data_bytes, quantity
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.escrow_abi import WITHDRAW_INITIATED_TOPIC
from aisa.settlement.evm.mark import Mark, parse_mark, read_in_ranges, standing_blocks, thinned
from aisa.settlement.evm.rpc import EvmRpc, disagreement
from aisa.settlement.evm.settings import EvmSettings

_NOTICES_MAX = 500


class LeavingWatcher:
    """Reads `WithdrawInitiated` of one contract.

    What is told as final follows the rules of deposits: the servers agree, and the cursor finds its
    way back if blocks are taken back. Newer blocks are told as any one server shows them, since to
    claim too early costs gas, and to claim too late costs the money.
    """

    def __init__(self, rpc: EvmRpc, chain: Chain, contract: bytes, settings: EvmSettings) -> None:
        self._rpc = rpc
        self._chain = chain
        self._contract = contract
        self._settings = settings

    async def leaving(self, cursor: bytes) -> LeavingNotices:
        """See `Escrow.leaving`."""
        mark = parse_mark(cursor)
        final = max(0, await self._chain.final_height())
        if not mark.blocks:
            return await self._told((), (), final)
        newest_told = mark.blocks[-1][0]
        if final <= newest_told:
            return LeavingNotices(tuple(await self._fresh(newest_told + 1)), cursor)
        kept = await standing_blocks(self._chain, mark)
        first = max(0, mark.blocks[0][0] - self._settings.log_blocks_max)
        found, until = await read_in_ranges(
            self._final,
            kept[-1][0] + 1 if kept else first,
            final,
            blocks_max=self._settings.log_blocks_max,
            enough=_NOTICES_MAX,
        )
        return await self._told(found, kept, until)

    async def _told(
        self, found: Sequence[LeavingNotice], kept: Sequence[tuple[int, str]], until: int
    ) -> LeavingNotices:
        """What was found up to a block, what is newer, and the cursor for both."""
        fresh = await self._fresh(until + 1)
        last = await self._chain.block(until)
        cursor = msgspec.json.encode(Mark(thinned(kept, last)))
        return LeavingNotices((*found, *fresh), cursor)

    async def _final(self, start: int, end: int) -> list[LeavingNotice]:
        wish = self._wish(hex(start), hex(end))
        (logs,) = await self._rpc.agreed(LOGS, "eth_getLogs", [[wish]], having=end)
        for log in logs:
            if not start <= quantity(log.block_number) <= end or not self._is_ours(log):
                raise disagreement("what was asked for")
        return [_notice(log, is_final=True) for log in logs]

    async def _fresh(self, start: int) -> list[LeavingNotice]:
        """What any server shows in blocks that are not final yet; those that lag show less."""
        newest = (await self._chain.head()).height
        start = max(start, newest - self._settings.log_blocks_max)
        if newest < start:
            return []
        wish = self._wish(hex(start), hex(newest))
        answers = await self._rpc.ask_all(LOGS, "eth_getLogs", [[wish]])
        logs: Iterable[Log] = dict.fromkeys(log for (logs,) in answers for log in logs)
        return [_notice(log, is_final=False) for log in logs if self._is_ours(log)]

    def _wish(self, start: str, end: str) -> dict[str, object]:
        return {
            "fromBlock": start,
            "toBlock": end,
            "address": format_bytes(self._contract),
            "topics": [WITHDRAW_INITIATED_TOPIC],
        }

    def _is_ours(self, log: Log) -> bool:
        return (
            not log.removed
            and len(log.topics) == 2
            and log.topics[0] == WITHDRAW_INITIATED_TOPIC
            and data_bytes(log.address) == self._contract
        )


def _notice(log: Log, *, is_final: bool) -> LeavingNotice:
    data = data_bytes(log.data, 64)
    return LeavingNotice(
        channel=data_bytes(log.topics[1], 32),
        leaving=Leaving(int.from_bytes(data[:32]), int.from_bytes(data[32:])),
        is_final=is_final,
        reference=log.transaction_hash,
    )
