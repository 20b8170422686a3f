"""Reading what an x402 payer sent: within bounds, for an offer of ours, for the right payee."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from aisa.errors import AisaError, MalformedMessage, PaymentInvalid, SettlementPending
from aisa.paywall.price import Price
from aisa.paywall.x402_offer import OfferedToken, X402Terms
from aisa.protocol.frame import frame
from aisa.protocol.strictjson import format_json
from aisa.protocol.x402 import (
    FacilitatorRequest,
    PaymentIdentifier,
    PaymentPayload,
    parse_payload,
)
from aisa.protocol.x402.exact import EXACT_PROXY, Eip3009Payload, Permit2Payload, read_exact_payload
from aisa.protocol.x402.token import PERMIT2_METHOD

_NEVER_S: Final = 2**40
_MARGIN_S: Final = 5
"""A payment that ends so soon is refused: it would end on its way to the chain."""


@dataclass(frozen=True, slots=True)
class X402Payment:
    """A payment that looks right; whether it holds is for the facilitator to say.

    `sale` names the payer's nonce, which pays once whatever is signed with it.
    """

    sale: bytes
    token: OfferedToken
    payer: bytes
    valid_until_s: int
    identifier: str
    fingerprint: bytes
    asked: FacilitatorRequest


def read_payment(
    header: str, terms: X402Terms, price: Price, units: int, *, takes_identifier: bool
) -> X402Payment:
    """Read the value of `PAYMENT-SIGNATURE` for a call at this price.

    Raises:
        PaymentInvalid: it cannot be read, or is not what is asked for now.
    """
    try:
        payload = parse_payload(header)
        named = PaymentIdentifier.read(payload.extensions) if takes_identifier else None
        token = terms.find(price, units, payload.accepted)
        if token is None:
            raise refused("invalid_payment_requirements", "this is not what is asked for now")
        signed = read_exact_payload(payload.payload)
        fingerprint = _fingerprint(payload)
    except MalformedMessage as error:
        raise refused("invalid_payload", error.detail) from error
    if isinstance(signed, Eip3009Payload):
        valid_until_s = _check_authorization(signed, token, payload.accepted.amount)
        nonce, scope = signed.authorization.nonce, token.asset
    else:
        valid_until_s = _check_permit(signed, token, payload.accepted.amount)
        # A nonce of Permit2 is the payer's for all tokens.
        nonce, scope = signed.permit.nonce.to_bytes(32), b"permit2"
    return X402Payment(
        sale=sha256(frame(token.offer.network, scope, signed.payer, nonce)).digest(),
        token=token,
        payer=signed.payer,
        valid_until_s=min(valid_until_s, _NEVER_S),
        identifier=named.id or "" if named is not None else "",
        fingerprint=fingerprint,
        asked=FacilitatorRequest(payload, payload.accepted),
    )


def check_time(payment: X402Payment, now_s: int) -> None:
    """Check that a new payment does not end before it can be settled.

    Raises:
        PaymentInvalid: it has ended, or is about to.
    """
    if payment.valid_until_s <= now_s + _MARGIN_S:
        is_permit = payment.token.offer.method == PERMIT2_METHOD
        reason = (
            "permit2_deadline_expired"
            if is_permit
            else "invalid_exact_evm_payload_authorization_valid_before"
        )
        raise refused(reason, "the payment has ended, or ends before it could be settled")


def refused(reason: str, detail: str) -> PaymentInvalid:
    """The refusal of a payment, with x402's word for it."""
    return PaymentInvalid(detail, reason=reason)


def reason_of(error: AisaError) -> str:
    """What `PAYMENT-REQUIRED` says of a payment that was refused; empty where none was made."""
    if isinstance(error, SettlementPending):
        return "settlement_pending"
    return str(error.facts.get("reason", "")) if isinstance(error, PaymentInvalid) else ""


def _check_authorization(signed: Eip3009Payload, token: OfferedToken, amount: int) -> int:
    one = signed.authorization
    if token.offer.method == PERMIT2_METHOD:
        raise refused("invalid_payload", "the offer asks for permit2")
    if one.to != token.pay_to:
        raise refused(
            "invalid_exact_evm_payload_recipient_mismatch", "the payment is to another address"
        )
    if one.value != amount:
        raise refused(
            "invalid_exact_evm_payload_authorization_value_mismatch",
            f"{one.value} units are signed, {amount} are asked for",
        )
    return one.valid_before


def _check_permit(signed: Permit2Payload, token: OfferedToken, amount: int) -> int:
    if token.offer.method != PERMIT2_METHOD:
        raise refused("invalid_payload", "the offer asks for eip3009")
    if signed.permit.spender != EXACT_PROXY:
        raise refused("invalid_permit2_spender", "the permit is for another spender")
    if signed.witness.to != token.pay_to:
        raise refused("invalid_permit2_recipient_mismatch", "the payment is to another address")
    if signed.permitted.token != token.asset:
        raise refused("permit2_token_mismatch", "the permit is for another token")
    if signed.permitted.amount != amount:
        raise refused("permit2_amount_mismatch", "another amount is signed than asked for")
    return signed.permit.deadline


def _fingerprint(payload: PaymentPayload) -> bytes:
    """The hash of what a repeat must have too: what was signed, and the secret name if any."""
    signed = format_json(payload.payload).encode()
    named = format_json(payload.extensions or {}).encode()
    return sha256(frame(sha256(signed).digest(), sha256(named).digest())).digest()
