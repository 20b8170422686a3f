"""`Pull`: the payer's signature moves the tokens, the treasury pays the gas."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aisa.errors import (
    IdempotencyMismatch,
    InvalidRequest,
    MalformedMessage,
    RailError,
    RailUnavailable,
)
from aisa.money import Token
from aisa.protocol.evm_address import parse_address
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.eip3009 import Eip3009
from aisa.settlement.evm.entry import Call, Entry
from aisa.settlement.evm.permit2_exact import Permit2Exact
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.sender import Sender
from aisa.settlement.evm.token_contract import TokenContracts
from aisa.settlement.pull import PullCheck, PullProblem, SignedTransfer
from aisa.settlement.rail import Clock, Failed, FailureReason, Outcome, Settled

MARGIN_S = 6
"""A signed transfer that ends sooner than this would likely end before it is in a block."""

_NONCE_SIZE = 32
_BLOCKS_BACK = 1_000
_BLOCKS_ON = 10_000


class EvmPull:
    """Checks against the chain, then sends through the treasury's queue."""

    def __init__(
        self,
        *,
        rpc: EvmRpc,
        chain: Chain,
        chain_id: int,
        sender: Sender,
        tokens: TokenContracts,
        allowed: Sequence[Token],
        clock: Clock,
    ) -> None:
        self._chain = chain
        self._sender = sender
        self._tokens = tokens
        self._allowed = tuple(allowed)
        self._clock = clock
        self._eip3009 = Eip3009(rpc, tokens)
        self._permit2 = Permit2Exact(rpc, chain_id)
        self._under_way: dict[str, tuple[Call, asyncio.Task[Outcome]]] = {}

    async def check(self, transfer: SignedTransfer) -> PullCheck:
        """See `Pull.check`."""
        if transfer.token not in self._allowed:
            return PullCheck(PullProblem.UNSUPPORTED, "the token is not one of this node's")
        try:
            call = self._call(transfer)
        except MalformedMessage as error:
            return PullCheck(PullProblem.MALFORMED, error.detail)
        await self._tokens.check(transfer.token)
        return (
            self._check_time(transfer)
            or await self._way(transfer).check(transfer)
            or await self._check_balance(transfer)
            or await self._rehearse(call)
            or PullCheck(None)
        )

    async def settle(self, transfer: SignedTransfer) -> Outcome:
        """See `Pull.settle`; a thousand callers at once cost no more than one."""
        try:
            call = self._call(transfer)
        except MalformedMessage as error:
            raise MalformedMessage(error.detail, problem=str(PullProblem.MALFORMED)) from error
        id_ = self._way(transfer).id(transfer)
        known = self._under_way.get(id_)
        if known is not None and known[0] == call:
            return await asyncio.shield(known[1])
        task = asyncio.create_task(self._settle(id_, transfer, call))
        if known is None:
            self._under_way[id_] = call, task
        task.add_done_callback(lambda done: self._forget(id_, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop waiting; what was sent is looked up later."""
        tasks = [task for _, task in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look_up_transfer(self, transfer: SignedTransfer) -> Outcome:
        """See `Pull.look_up_transfer`."""
        id_ = self._way(transfer).id(transfer)
        async with self._sender.lock:
            entry = await self._sender.find(id_)
        if entry is None:
            return Failed(FailureReason.NEVER_SENT, "no such transfer was ever written down")
        outcome = await self._sender.look_up(id_, entry)
        return await self._or_elsewhere(transfer, entry, outcome)

    async def _settle(self, id_: str, transfer: SignedTransfer, call: Call) -> Outcome:
        entry = await self._sender.find(id_)
        if entry is None:
            checked = await self.check(transfer)
            async with self._sender.lock:
                entry = await self._sender.find(id_)
                if entry is None:
                    if checked.problem is not None:
                        raise InvalidRequest(checked.detail, problem=str(checked.problem))
                    entry = await self._sender.submit(id_, call)
        if not entry.is_for(call):
            raise IdempotencyMismatch("this payer's nonce was used for another transfer")
        outcome = entry.outcome() if not entry.is_open else await self._sender.carry_out(id_)
        return await self._or_elsewhere(transfer, entry, outcome)

    def _forget(self, id_: str, done: asyncio.Task[Outcome]) -> None:
        if not done.cancelled():
            done.exception()  # seen, even if every caller has gone
        known = self._under_way.get(id_)
        if known is not None and known[1] is done:
            del self._under_way[id_]

    def _way(self, transfer: SignedTransfer) -> Eip3009 | Permit2Exact:
        return self._permit2 if transfer.spender else self._eip3009

    def _call(self, transfer: SignedTransfer) -> Call:
        if transfer.units < 1:
            raise MalformedMessage("a transfer moves at least one unit")
        if len(transfer.nonce) != _NONCE_SIZE:
            raise MalformedMessage(f"a nonce has {_NONCE_SIZE} bytes")
        return self._way(transfer).call(transfer)

    def _check_time(self, transfer: SignedTransfer) -> PullCheck | None:
        now_s = self._clock() // 1000
        if now_s + MARGIN_S >= transfer.valid_before_s:
            return PullCheck(PullProblem.EXPIRED, "the signed transfer has ended, or is about to")
        if now_s <= transfer.valid_after_s:
            return PullCheck(PullProblem.TOO_EARLY, "the signed transfer does not count yet")
        return None

    async def _check_balance(self, transfer: SignedTransfer) -> PullCheck | None:
        payer = parse_address(transfer.payer)
        (held,) = await self._tokens.balances(transfer.token, [payer], "latest")
        if held < transfer.units:
            return PullCheck(PullProblem.BALANCE, f"the payer holds {held} units")
        return None

    async def _rehearse(self, call: Call) -> PullCheck | None:
        try:
            await self._sender.gas(call)
        except RailUnavailable:
            raise
        except RailError as error:
            return PullCheck(PullProblem.REFUSED, error.detail)
        return None

    async def _or_elsewhere(
        self, transfer: SignedTransfer, entry: Entry, outcome: Outcome
    ) -> Outcome:
        """Settled also if somebody else carried the same signature out before us.

        It is public once it is in a server's queue, and whoever sends it first moves the same
        tokens to the same payee.
        """
        if not isinstance(outcome, Failed):
            return outcome
        try:
            final = await self._chain.final_height()
            first = max(0, entry.signed_at_height - _BLOCKS_BACK)
            last = min(final, entry.signed_at_height + _BLOCKS_ON)
            found = await self._way(transfer).elsewhere(transfer, entry, first, last)
        except RailError:
            return outcome
        return outcome if found is None else Settled(found)
