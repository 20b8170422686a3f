"""Whether an x402 `batch-settlement` payment is what the seller asked for, in x402's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from aisa.errors import MalformedMessage
from aisa.payment.facilitator import PaymentRefused
from aisa.protocol.escrow import WITHDRAW_DELAY_S_MAX, WITHDRAW_DELAY_S_MIN, ChannelConfig
from aisa.protocol.evm_address import parse_address
from aisa.protocol.evm_fields import read_address
from aisa.protocol.fields import Fields
from aisa.protocol.x402 import FacilitatorRequest, PaymentRequirements
from aisa.protocol.x402.batch import BATCH
from aisa.protocol.x402.batch_payload import (
    BatchPayload,
    DepositPayload,
    RefundPayload,
    VoucherPayload,
    read_batch_payload,
)
from aisa.protocol.x402.batch_state import CUMULATIVE_BELOW_CLAIMED, ChannelSnapshot
from aisa.settlement.escrow import ChannelView, Escrow, SignedDeposit
from aisa.settlement.pull import PullProblem

Call: TypeAlias = "DepositPayload | VoucherPayload | RefundPayload"
"""What a payer sends with a call: these have a channel and a voucher."""

PREFIX: Final = "invalid_batch_settlement_evm_"

# The words of x402 for what an escrow says of a deposit.
_DEPOSIT_REASONS: Final = {
    PullProblem.UNSUPPORTED: "token_mismatch",
    PullProblem.MALFORMED: "deposit_payload",
    PullProblem.SIGNATURE: "receive_authorization_signature",
    PullProblem.TOO_EARLY: "payload_authorization_valid_after",
    PullProblem.EXPIRED: "payload_authorization_valid_before",
    PullProblem.NONCE_USED: "deposit_simulation_failed",
    PullProblem.BALANCE: "insufficient_balance",
    PullProblem.ALLOWANCE: "permit2_allowance_required",
    PullProblem.REFUSED: "deposit_simulation_failed",
}


def refused(reason: str, detail: str) -> PaymentRefused:
    """Return the refusal with a reason of this scheme."""
    return PaymentRefused(PREFIX + reason, detail)


def deposit_reason(problem: PullProblem) -> str:
    """Return x402's word for a problem with a deposit."""
    return PREFIX + _DEPOSIT_REASONS[problem]


def read_request(
    request: FacilitatorRequest, escrows: Mapping[str, Escrow]
) -> tuple[Escrow, BatchPayload]:
    """Return the escrow that a request is for, and what is asked of it.

    Raises:
        PaymentRefused: another scheme or network, or a malformed payload.
    """
    wanted, accepted = request.requirements, request.payload.accepted
    if wanted.scheme != BATCH or accepted.scheme != BATCH:
        raise refused("scheme", f"{wanted.scheme} is not {BATCH}")
    escrow = escrows.get(wanted.network)
    if escrow is None:
        raise PaymentRefused("invalid_network", f"{wanted.network} is not settled here")
    if accepted.network != wanted.network:
        raise refused("network_mismatch", "the payment is for another network")
    try:
        return escrow, read_batch_payload(request.payload.payload)
    except MalformedMessage as error:
        raise refused("payload_type", error.detail) from error


async def check_call(escrow: Escrow, call: Call, wanted: PaymentRequirements) -> ChannelSnapshot:
    """Check channel, voucher and deposit of a call; return the channel as it is now.

    Raises:
        PaymentRefused: it is not what the seller asks for, or would not hold.
        RailUnavailable: the network does not answer.
    """
    config, voucher = call.config, call.voucher
    try:
        channel = config.channel_id(escrow.domain)
    except MalformedMessage as error:
        raise refused("payload_type", error.detail) from error
    if channel != voucher.channel:
        raise refused("channel_id_mismatch", "the voucher is for another channel")
    _check_config(config, wanted)
    if not await escrow.is_signed(config, voucher.ceiling, voucher.signature):
        raise refused("voucher_signature", "the payer did not sign this voucher")
    (view,) = await escrow.view([config])
    added = 0
    if isinstance(call, DepositPayload):
        added = call.amount
        checked = await escrow.check_deposit(signed_deposit(call))
        if checked.problem is not None:
            raise PaymentRefused(deposit_reason(checked.problem), checked.detail)
    _check_ceiling(call, view, added)
    return await snapshot(escrow, config, view)


def signed_deposit(call: DepositPayload) -> SignedDeposit:
    """Return the deposit that comes with a call."""
    return SignedDeposit(call.config, call.amount, call.authorization)


async def snapshot(escrow: Escrow, config: ChannelConfig, view: ChannelView) -> ChannelSnapshot:
    """Return a channel as x402 tells it.

    Raises:
        RailUnavailable: the network does not answer.
    """
    leaving = view.leaving
    asked_s = 0 if leaving is None else leaving.ends_at_s - config.withdraw_delay_s
    return ChannelSnapshot(
        view.channel,
        view.deposit_units,
        view.claimed_units,
        withdraw_requested_at=asked_s,
        refund_nonce=await escrow.refund_nonce(config),
    )


def _check_config(config: ChannelConfig, wanted: PaymentRequirements) -> None:
    try:
        receiver, token = parse_address(wanted.pay_to), parse_address(wanted.asset)
        extra = Fields("extra", wanted.extra or {})
        authorizer = read_address(extra, "receiverAuthorizer")
        has_delay = extra.members.get("withdrawDelay") is not None
        delay_s = extra.integer("withdrawDelay") if has_delay else config.withdraw_delay_s
    except MalformedMessage as error:
        raise refused("receiver_authorizer_mismatch", error.detail) from error
    if config.receiver != receiver:
        raise refused("receiver_mismatch", "the channel's receiver is not the seller")
    if config.receiver_authorizer != authorizer or not any(authorizer):
        raise refused("receiver_authorizer_mismatch", "the channel has another authorizer")
    if config.token != token:
        raise refused("token_mismatch", "the channel is in another token")
    if config.withdraw_delay_s != delay_s:
        raise refused("withdraw_delay_mismatch", "the channel has another delay")
    if not WITHDRAW_DELAY_S_MIN <= config.withdraw_delay_s <= WITHDRAW_DELAY_S_MAX:
        raise refused("withdraw_delay_out_of_range", "the contract takes no such delay")


def _check_ceiling(call: Call, view: ChannelView, added: int) -> None:
    ceiling = call.voucher.ceiling
    if view.deposit_units + added == 0:
        raise refused("channel_not_found", "nothing was deposited into this channel")
    if ceiling > view.deposit_units + added:
        raise refused("cumulative_exceeds_balance", "the voucher is above the deposit")
    least = view.claimed_units + (0 if isinstance(call, RefundPayload) else 1)
    if ceiling < least:
        raise PaymentRefused(CUMULATIVE_BELOW_CLAIMED, "the voucher was claimed before")
