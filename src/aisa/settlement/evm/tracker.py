"""Finding out what became of a chain tx, without ever signing again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aisa.errors import RailError
from aisa.settlement.evm.answer import MAYBE_RECEIPT, Receipt, quantity
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.entry import Attempt, Entry
from aisa.settlement.evm.rpc import EvmRpc, disagreement
from aisa.settlement.rail import Failed, FailureReason, Outcome, Settled, Unknown

_HISTORY_BLOCKS = 500_000
"""Servers may forget older chain txs, and then their silence proves nothing."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the servers prove now, and whether the chain tx is in a block at all."""

    outcome: Outcome
    is_included: bool = False


class Tracker:
    """Reads receipts and nonces, and compares what the servers say."""

    def __init__(self, rpc: EvmRpc, chain: Chain, own: bytes) -> None:
        self._rpc = rpc
        self._chain = chain
        self._own = "0x" + own.hex()

    async def look(self, entry: Entry) -> Sight:
        """What is proved of an open entry.

        Settled or refused takes a receipt in a final block, the same at enough servers. That it
        can never land takes every server: its nonce is used in a final block, asked *before* the
        receipts, and none knows any version of it.
        """
        try:
            height = await self._chain.final_height()
            used = await self._used(height)
            answers = await self._receipts(entry)
        except RailError:
            return Sight(Unknown(entry.newest.hash))
        for at, attempt in enumerate(entry.attempts):
            known = [receipts[at] for receipts in answers]
            found = [one for one in known if one is not None]
            if found:
                return self._judge(entry, attempt, found, height)
        is_asked_of_all = len(answers) == len(used) == self._rpc.size
        is_remembered = height - entry.signed_at_height < _HISTORY_BLOCKS
        if is_asked_of_all and is_remembered and min(used) > entry.nonce:
            detail = "another chain tx of the treasury used its nonce"
            return Sight(Failed(FailureReason.EXPIRED, detail, entry.newest.hash))
        return Sight(Unknown(entry.newest.hash))

    async def _used(self, height: int) -> list[int]:
        """How many nonces each server counts at a final block."""
        if height < 0:
            return []
        counts = await self._rpc.ask_all(str, "eth_getTransactionCount", [[self._own, hex(height)]])
        return [quantity(count[0]) for count in counts]

    async def _receipts(self, entry: Entry) -> list[list[Receipt | None]]:
        return await self._rpc.ask_all(
            MAYBE_RECEIPT,
            "eth_getTransactionReceipt",
            [[attempt.hash] for attempt in entry.attempts],
        )

    def _judge(
        self, entry: Entry, attempt: Attempt, found: Sequence[Receipt], height: int
    ) -> Sight:
        receipt = found[0]
        unknown = Sight(Unknown(attempt.hash), is_included=True)
        if any(one != receipt for one in found) or receipt.transaction_hash != attempt.hash:
            disagreement(f"the receipt of {attempt.hash}")
            return Sight(Unknown(attempt.hash))
        if len(found) < self._rpc.agreeing_min or receipt.height > height:
            return unknown
        return Sight(_verdict(entry, attempt, receipt), is_included=True)


def _verdict(entry: Entry, attempt: Attempt, receipt: Receipt) -> Settled | Failed:
    """What a final receipt means; a token that says no without reverting has moved nothing."""
    reference = attempt.hash
    if attempt.is_cancel:
        return Failed(FailureReason.EXPIRED, "it waited too long and was cancelled", reference)
    if not receipt.is_success:
        return Failed(FailureReason.REFUSED, "the chain tx was reverted", reference)
    if not entry.is_done_by(receipt):
        return Failed(FailureReason.REFUSED, "the token moved nothing", reference)
    return Settled(reference)
