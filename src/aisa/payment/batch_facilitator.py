"""The x402 facilitator for `batch-settlement`: opens channels, claims, pays out and gives back.

It has no key that speaks for a seller: what only a receiver's authorizer may do takes that one's
signature, unless a channel names this node itself. And then it still gives nothing back unsigned,
since whoever asks for that may be the payer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Final

from aisa.errors import InvalidRequest, RailError, RailUnavailable
from aisa.payment.batch_check import (
    PREFIX,
    check_call,
    deposit_reason,
    read_request,
    refused,
    signed_deposit,
    snapshot,
)
from aisa.payment.facilitator import PENDING, PaymentRefused
from aisa.protocol.escrow import BATCH_CONTRACT, ChannelConfig
from aisa.protocol.evm_address import format_address
from aisa.protocol.frame import frame
from aisa.protocol.x402 import (
    FacilitatorRequest,
    SettlementResponse,
    SupportedKind,
    VerifyResponse,
)
from aisa.protocol.x402.batch import BATCH
from aisa.protocol.x402.batch_payload import (
    BatchPayload,
    ClaimPayload,
    DepositPayload,
    Eip3009Deposit,
    RefundPayload,
    SettlePayload,
    VoucherPayload,
)
from aisa.protocol.x402.batch_state import BatchAnswer
from aisa.settlement.escrow import Escrow
from aisa.settlement.pull import PullProblem
from aisa.settlement.rail import Failed, FailureReason, Outcome, Settled

_ATTEMPTS_MAX: Final = 1_000

Work = Callable[[str], Coroutine[Any, Any, Outcome]]


class BatchFacilitator:
    """Serves the escrows that stand at x402's own address: its clients know no other.

    The id of what is sent is made of what is asked, so that repeating anything finds the chain tx
    that was sent for it, also after a crash, whoever asks.
    """

    def __init__(self, escrows: Mapping[str, Escrow]) -> None:
        self._escrows = {
            network: escrow
            for network, escrow in escrows.items()
            if escrow.domain.contract == BATCH_CONTRACT
        }
        self._under_way: dict[str, asyncio.Task[Outcome]] = {}

    def kinds(self) -> tuple[SupportedKind, ...]:
        """What can be settled here."""
        return tuple(SupportedKind(BATCH, network) for network in self._escrows)

    async def verify(self, request: FacilitatorRequest) -> VerifyResponse:
        """Say whether a deposit, voucher or wish for a refund would hold now; changes nothing.

        Raises:
            RailUnavailable: the network does not answer.
        """
        payer: str | None = None
        try:
            escrow, asked = read_request(request, self._escrows)
            if isinstance(asked, ClaimPayload | SettlePayload):
                raise refused("payload_type", "claims and payouts are settled, not verified")
            payer = _payer(asked)
            state = await check_call(escrow, asked, request.requirements)
        except PaymentRefused as error:
            return VerifyResponse(
                False, payer=payer, invalid_reason=error.reason, invalid_message=str(error)
            )
        return VerifyResponse(True, payer=payer, extra=state.to_json())

    async def settle(self, request: FacilitatorRequest, key: str = "") -> SettlementResponse:
        """Carry out what is asked, once; a repeat gets the same answer.

        A payout can be asked for again and again: only with a key it is the same one.

        Raises:
            RailUnavailable: nothing was sent; retry freely.
        """
        network = request.requirements.network
        try:
            escrow, asked = read_request(request, self._escrows)
            return await self._settle(escrow, asked, request, key)
        except PaymentRefused as error:
            return _failed(network, error.reason, str(error))

    async def close(self) -> None:
        """Stop waiting; what was sent is found again by whoever repeats."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(
        self, escrow: Escrow, asked: BatchPayload, request: FacilitatorRequest, key: str
    ) -> SettlementResponse:
        match asked:
            case DepositPayload():
                return await self._deposit(escrow, asked, request)
            case ClaimPayload():
                return await self._claim(escrow, asked)
            case SettlePayload():
                return await self._pay_out(escrow, asked, key)
            case RefundPayload():
                return await self._refund(escrow, asked)
            case VoucherPayload():
                raise refused("payload_type", "a voucher is kept by the seller, and claimed later")

    async def _deposit(
        self, escrow: Escrow, asked: DepositPayload, request: FacilitatorRequest
    ) -> SettlementResponse:
        signed, units = asked.authorization, asked.amount
        if isinstance(signed, Eip3009Deposit):
            once = signed.salt
        else:
            once = signed.permit.nonce.to_bytes(32)
        name = _name(escrow, "deposit", asked.voucher.channel, units.to_bytes(16), once)

        async def pay_in(id_: str) -> Outcome:
            if await _is_new(escrow, id_):
                await check_call(escrow, asked, request.requirements)
            return await escrow.deposit(id_, signed_deposit(asked))

        id_ = await self._id(escrow, name)
        outcome = await self._once(id_, request.encode(), pay_in, "deposit")
        answer = _answer(escrow, outcome, "deposit", payer=_payer(asked), amount=units)
        return await _with_channel(escrow, asked.config, answer)

    async def _claim(self, escrow: Escrow, asked: ClaimPayload) -> SettlementResponse:
        rows = [
            row.config.pack() + row.ceiling.to_bytes(16) + row.claimed.to_bytes(16) + row.signature
            for row in asked.claims
        ]
        name = _name(escrow, "claim", *rows, asked.signature or b"")
        id_ = await self._id(escrow, name)
        try:
            outcome = await self._once(
                id_, b"", lambda name: escrow.claim(name, asked.claims, asked.signature), "claim"
            )
        except _NothingLeft:
            return SettlementResponse(True, "", escrow.network)
        return _answer(escrow, outcome, "claim")

    async def _pay_out(self, escrow: Escrow, asked: SettlePayload, key: str) -> SettlementResponse:
        token = next((one for one in escrow.tokens if _is_at(one.reference, asked.token)), None)
        if token is None:
            raise refused("token_mismatch", "the token is not one of this node's")
        earned = await escrow.earnings(asked.receiver, token)
        # Without a key, what was claimed until now tells this payout from a later one.
        totals = earned.claimed_units.to_bytes(16) + earned.settled_units.to_bytes(16)
        whom = asked.receiver + asked.token
        id_ = await self._id(escrow, _name(escrow, "settle", whom, key.encode() or totals))
        if earned.unsettled_units == 0 and await _is_new(escrow, id_):
            raise refused("nothing_to_settle", "all that was claimed is paid out")
        outcome = await self._once(
            id_, b"", lambda name: escrow.settle(name, asked.receiver, token), "settle"
        )
        return _answer(escrow, outcome, "settle")

    async def _refund(self, escrow: Escrow, asked: RefundPayload) -> SettlementResponse:
        units, nonce, signature = asked.amount, asked.nonce, asked.refund_signature
        if signature is None or nonce is None:
            detail = "a refund takes the signature of the receiver's authorizer"
            raise refused("authorizer_not_configured", detail)
        if not units:
            raise refused("refund_amount_invalid", "a refund names its amount")
        if asked.claims:
            claims = ClaimPayload(asked.claims, asked.claim_signature)
            claimed = await self._claim(escrow, claims)
            if not claimed.success:
                return claimed
        parts = asked.voucher.channel, units.to_bytes(16), nonce.to_bytes(32)
        id_ = await self._id(escrow, _name(escrow, "refund", *parts))
        outcome = await self._once(
            id_,
            signature,
            lambda name: escrow.refund(name, asked.config, units, nonce=nonce, signature=signature),
            "refund",
        )
        answer = _answer(escrow, outcome, "refund", payer=_payer(asked))
        return await _with_channel(escrow, asked.config, answer)

    async def _id(self, escrow: Escrow, name: str) -> str:
        """The escrow's id for a piece of work; what failed may be tried again."""
        for attempt in range(_ATTEMPTS_MAX):
            id_ = f"x402:{name}:{attempt}"
            found = await escrow.look_up(id_)
            if not isinstance(found, Failed) or found.reason is FailureReason.NEVER_SENT:
                return id_
        raise refused("transaction_reverted", f"it failed {_ATTEMPTS_MAX} times")

    async def _once(self, id_: str, content: bytes, work: Work, what: str) -> Outcome:
        """Do it for all who ask at once; x402's word for what the escrow refuses."""
        place = id_ + hashlib.sha256(content).hexdigest()
        task = self._under_way.get(place)
        if task is None:
            task = self._under_way[place] = asyncio.create_task(work(id_))
            task.add_done_callback(lambda done: self._forget(place, done))
        try:
            return await asyncio.shield(task)
        except RailUnavailable:
            raise
        except InvalidRequest as error:
            problem = str(error.facts.get("problem", ""))
            if problem == "claimed":
                raise _NothingLeft from error
            if what == "deposit":
                known = PullProblem(problem) if problem else PullProblem.REFUSED
                raise PaymentRefused(deposit_reason(known), error.detail) from error
            raise refused(f"{what}_payload", error.detail) from error
        except RailError as error:
            raise refused(f"{what}_simulation_failed", error.detail) from error

    def _forget(self, place: str, done: asyncio.Task[Outcome]) -> None:
        if not done.cancelled():
            done.exception()  # seen, even if every caller has gone
        self._under_way.pop(place, None)


class _NothingLeft(Exception):
    """All of a claim was claimed before."""


async def _is_new(escrow: Escrow, id_: str) -> bool:
    found = await escrow.look_up(id_)
    return isinstance(found, Failed) and found.reason is FailureReason.NEVER_SENT


def _name(escrow: Escrow, what: str, *parts: bytes) -> str:
    return hashlib.sha256(frame(escrow.network, what, *parts)).hexdigest()[:40]


def _payer(asked: DepositPayload | VoucherPayload | RefundPayload) -> str:
    return format_address(asked.config.payer)


async def _with_channel(
    escrow: Escrow, config: ChannelConfig, answer: SettlementResponse
) -> SettlementResponse:
    """The same answer, with the channel as it is now if that can be seen: the chain tx is sent."""
    if not answer.success:
        return answer
    try:
        (view,) = await escrow.view([config])
        state = await snapshot(escrow, config, view)
    except RailError:
        return answer
    return replace(answer, extra=BatchAnswer(channel=state).to_json())


def _is_at(reference: str, address: bytes) -> bool:
    return reference.lower() == format_address(address).lower()


def _answer(
    escrow: Escrow,
    outcome: Outcome,
    what: str,
    *,
    payer: str | None = None,
    amount: int | None = None,
) -> SettlementResponse:
    match outcome:
        case Settled(reference):
            return SettlementResponse(True, reference, escrow.network, payer, amount)
        case Failed(_, detail, reference):
            reason = f"{PREFIX}{what}_transaction_failed"
            return _failed(escrow.network, reason, detail, reference or "", payer)
        case _:
            detail = "the chain has not decided yet; ask again for the same"
            reference = outcome.reference or ""
            return _failed(escrow.network, PENDING, detail, reference, payer)


def _failed(
    network: str, reason: str, detail: str, reference: str = "", payer: str | None = None
) -> SettlementResponse:
    return SettlementResponse(
        False, reference, network, payer, error_reason=reason, error_message=detail
    )
