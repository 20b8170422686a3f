"""`Pull` with EIP-3009: the payer's signature moves the tokens, the treasury pays the gas."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from aisa.errors import (
    IdempotencyMismatch,
    InvalidRequest,
    MalformedMessage,
    RailError,
    RailUnavailable,
)
from aisa.identity.evm_key import is_evm_signature
from aisa.money import Token
from aisa.protocol.evm_address import parse_address
from aisa.protocol.evm_authorization import Authorization
from aisa.settlement.evm.answer import LOGS, MAYBE_RECEIPT
from aisa.settlement.evm.chain import Chain
from aisa.settlement.evm.entry import Call, Entry, Move
from aisa.settlement.evm.erc20 import (
    AUTHORIZATION_USED_TOPIC,
    authorized_transfer_data,
    topic_address,
)
from aisa.settlement.evm.rpc import EvmRpc
from aisa.settlement.evm.sender import Sender
from aisa.settlement.evm.token_contract import TokenContracts, contract_of
from aisa.settlement.pull import PullCheck, PullProblem, SignedTransfer
from aisa.settlement.rail import Clock, Failed, FailureReason, Outcome, Settled

MARGIN_S = 6
"""An authorisation that ends sooner than this would likely end before it is in a block."""

_BLOCKS_BACK = 10_000


class EvmPull:
    """Checks against the chain, then sends through the treasury's queue."""

    def __init__(
        self,
        *,
        rpc: EvmRpc,
        chain: Chain,
        sender: Sender,
        tokens: TokenContracts,
        allowed: Sequence[Token],
        clock: Clock,
    ) -> None:
        self._rpc = rpc
        self._chain = chain
        self._sender = sender
        self._tokens = tokens
        self._allowed = tuple(allowed)
        self._clock = clock
        self._under_way: dict[str, tuple[Call, asyncio.Task[Outcome]]] = {}

    async def check(self, transfer: SignedTransfer) -> PullCheck:
        """See `Pull.check`."""
        if transfer.token not in self._allowed:
            return PullCheck(PullProblem.UNSUPPORTED, "the token is not one of this node's")
        try:
            authorization = _authorization(transfer)
        except MalformedMessage as error:
            return PullCheck(PullProblem.MALFORMED, error.detail)
        await self._tokens.check(transfer.token)
        found = await self._check_signature(transfer, authorization)
        if found is None:
            found = self._check_time(transfer)
        if found is None:
            found = await self._check_chain(transfer, authorization)
        return found or PullCheck(None)

    async def settle(self, transfer: SignedTransfer) -> Outcome:
        """See `Pull.settle`; a thousand callers at once cost no more than one."""
        call = _call(transfer)
        id_ = transfer_id(transfer.token, parse_address(transfer.payer), transfer.nonce)
        known = self._under_way.get(id_)
        if known is not None and known[0] == call:
            return await asyncio.shield(known[1])
        task = asyncio.create_task(self._settle(id_, transfer, call))
        if known is None:
            self._under_way[id_] = call, task
            task.add_done_callback(lambda _: self._under_way.pop(id_, None))
        return await asyncio.shield(task)

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
        if isinstance(outcome, Failed):
            return await self._other_hand(transfer.token, await self._sender.find(id_) or entry)
        return outcome

    async def look_up_transfer(self, token: Token, payer: str, nonce: bytes) -> Outcome:
        """See `Pull.look_up_transfer`."""
        id_ = transfer_id(token, parse_address(payer), nonce)
        async with self._sender.lock:
            entry = await self._sender.find(id_)
        if entry is None:
            return Failed(FailureReason.NEVER_SENT, "no such transfer was ever written down")
        outcome = await self._sender.look_up(id_, entry)
        if isinstance(outcome, Failed):
            entry = await self._sender.find(id_) or entry
            return await self._other_hand(token, entry)
        return outcome

    async def _check_signature(
        self, transfer: SignedTransfer, authorization: Authorization
    ) -> PullCheck | None:
        domain = await self._tokens.domain(transfer.token)
        if domain is None:
            return PullCheck(
                PullProblem.UNSUPPORTED,
                f"{transfer.token.symbol} has no EIP-3009 that we can check",
            )
        digest = domain.digest(authorization.transfer_hash())
        if not is_evm_signature(authorization.payer, digest, transfer.signature):
            return PullCheck(PullProblem.SIGNATURE, "the payer did not sign this transfer")
        return None

    def _check_time(self, transfer: SignedTransfer) -> PullCheck | None:
        now_s = self._clock() // 1000
        if now_s + MARGIN_S >= transfer.valid_before_s:
            return PullCheck(PullProblem.EXPIRED, "the signed transfer has ended, or is about to")
        if now_s <= transfer.valid_after_s:
            return PullCheck(PullProblem.TOO_EARLY, "the signed transfer does not count yet")
        return None

    async def _check_chain(
        self, transfer: SignedTransfer, authorization: Authorization
    ) -> PullCheck | None:
        token, payer = transfer.token, authorization.payer
        if await self._tokens.is_used(token, payer, authorization.nonce):
            return PullCheck(PullProblem.NONCE_USED, "the signed transfer's nonce is used")
        (held,) = await self._tokens.balances(token, [payer], "latest")
        if held < authorization.value:
            return PullCheck(PullProblem.BALANCE, f"the payer holds {held} units")
        try:
            await self._sender.gas(_call(transfer))
        except RailUnavailable:
            raise
        except RailError as error:
            return PullCheck(PullProblem.REFUSED, error.detail)
        return None

    async def _other_hand(self, token: Token, entry: Entry) -> Outcome:
        """Settled also if somebody else carried the same authorisation out before us.

        A signature is public once it is in a server's queue, and whoever sends it first moves the
        same tokens to the same payee. The token's own event names that chain tx.
        """
        outcome = entry.outcome()
        move = entry.move
        if not isinstance(outcome, Failed) or move is None:
            return outcome
        nonce = entry.destination.rpartition(" ")[2]
        first = max(0, entry.signed_at_height - _BLOCKS_BACK)
        try:
            final = await self._chain.final_height()
            wish = {
                "fromBlock": hex(first),
                "toBlock": hex(min(final, entry.signed_at_height + _BLOCKS_BACK)),
                "address": "0x" + contract_of(token).hex(),
                "topics": [AUTHORIZATION_USED_TOPIC, topic_address(move.source), nonce],
            }
            (logs,) = await self._rpc.agreed(LOGS, "eth_getLogs", [[wish]])
            for log in logs:
                (receipt,) = await self._rpc.agreed(
                    MAYBE_RECEIPT, "eth_getTransactionReceipt", [[log.transaction_hash]]
                )
                if receipt is not None and receipt.is_success and move.is_in(receipt):
                    return Settled(log.transaction_hash)
        except RailError:
            return outcome
        return outcome


def transfer_id(token: Token, payer: bytes, nonce: bytes) -> str:
    """The journal's id of a signed transfer: one for each token, payer and nonce."""
    text = f"{token.asset} {payer.hex()} {nonce.hex()}"
    return f"evm-pull:{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _authorization(transfer: SignedTransfer) -> Authorization:
    authorization = Authorization(
        payer=parse_address(transfer.payer, "payer"),
        to=parse_address(transfer.payee, "payee"),
        value=transfer.units,
        valid_after=transfer.valid_after_s,
        valid_before=transfer.valid_before_s,
        nonce=transfer.nonce,
    )
    authorization.transfer_hash()  # every member in its bounds
    if transfer.units < 1:
        raise MalformedMessage("a transfer moves at least one unit")
    return authorization


def _call(transfer: SignedTransfer) -> Call:
    authorization = _authorization(transfer)
    contract = contract_of(transfer.token)
    if len(transfer.signature) != 65:
        raise MalformedMessage("a signature has 65 bytes")
    return Call(
        "pull",
        contract,
        authorized_transfer_data(authorization, transfer.signature),
        asset=transfer.token.asset,
        units=transfer.units,
        destination=f"{transfer.payer.lower()} {transfer.payee.lower()} 0x{transfer.nonce.hex()}",
        move=Move(contract, authorization.payer, authorization.to, str(transfer.units)),
    )
