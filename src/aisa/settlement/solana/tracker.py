"""Sending signed bytes, and finding out what became of them without ever signing again."""

from __future__ import annotations

import asyncio
import base64

from aisa import faults
from aisa.errors import RailError
from aisa.settlement.rail import Failed, FailureReason, Outcome, Settled, Unknown
from aisa.settlement.solana.answer import STATUSES, SignatureStatus
from aisa.settlement.solana.entry import Entry
from aisa.settlement.solana.rpc import SolanaRpc
from aisa.settlement.solana.settings import SolanaSettings

_SEND_OPTIONS = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}


class Tracker:
    """Follows open entries on the network."""

    def __init__(self, rpc: SolanaRpc, settings: SolanaSettings) -> None:
        self._rpc = rpc
        self._settings = settings

    async def broadcast(self, entry: Entry) -> None:
        """Hand the signed bytes to the network; the same bytes can land once, so repeat freely.

        A node's refusal proves nothing, another may have them: it is not told.
        """
        text = base64.b64encode(entry.raw).decode()
        faults.hit("solana.send.before")
        try:
            await self._rpc.call(str, "sendTransaction", text, _SEND_OPTIONS)
        except RailError:
            return
        faults.hit("solana.send.after")

    async def wait(self, entry: Entry) -> Outcome:
        """Poll until the outcome is final or the time is up, repeating the bytes meanwhile."""
        try:
            async with asyncio.timeout(self._settings.send_timeout_s):
                return await self._follow(entry)
        except TimeoutError:
            return Unknown(entry.signature)

    async def decide(self, entry: Entry) -> Outcome:
        """What the network proves now.

        Expiry is proved only if every node says so: its final block height is past the last
        valid one, asked *before* the status, its history reaches back to the signing, and it
        does not know the signature.
        """
        try:
            heights = await self._rpc.call_every(int, "getBlockHeight", {"commitment": "finalized"})
            oldest = await self._rpc.call_every(int, "getFirstAvailableBlock")
            answers = await self._rpc.call_every(
                STATUSES,
                "getSignatureStatuses",
                [entry.signature],
                {"searchTransactionHistory": True},
            )
        except RailError:
            return Unknown(entry.signature)
        statuses = [answer.value[0] if answer.value else None for answer in answers]
        for status in statuses:
            outcome = self._read(entry, status)
            if outcome is not None:
                return outcome
        is_unseen = all(status is None for status in statuses)
        last = entry.last_valid_block_height + self._settings.expiry_margin
        if is_unseen and min(heights) > last and max(oldest) <= entry.signed_at_slot:
            detail = "it did not land while its blockhash was valid"
            return Failed(FailureReason.EXPIRED, detail, entry.signature)
        return Unknown(entry.signature)

    async def _follow(self, entry: Entry) -> Outcome:
        now = asyncio.get_running_loop().time  # only the pace of repeats hangs on it
        repeat_at = now() + self._settings.rebroadcast_s
        while True:
            outcome = self._read(entry, await self._status(entry))
            if outcome is not None:
                return outcome
            if now() >= repeat_at:
                decided = await self.decide(entry)
                if not isinstance(decided, Unknown):
                    return decided
                await self.broadcast(entry)
                repeat_at = now() + self._settings.rebroadcast_s
            await asyncio.sleep(self._settings.poll_s)

    async def _status(self, entry: Entry) -> SignatureStatus | None:
        try:
            answer = await self._rpc.call(STATUSES, "getSignatureStatuses", [entry.signature])
        except RailError:
            return None
        return answer.value[0] if answer.value else None

    def _read(self, entry: Entry, status: SignatureStatus | None) -> Settled | Failed | None:
        """The error is looked at first: a chain tx that landed and failed is final, too."""
        if status is None or not self._settings.is_final(status.confirmation_status):
            return None
        if status.err is not None:
            return Failed(FailureReason.REFUSED, str(status.err)[:200], entry.signature)
        return Settled(entry.signature)
