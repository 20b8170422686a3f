"""The transfer that pays an x402 seller: made without a signature, kept so, and signed when it is sent."""

from __future__ import annotations

from dataclasses import replace

from aisa.errors import MalformedMessage
from aisa.identity import EvmKey
from aisa.protocol.eip712 import chain_id_of
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.permit2 import Permit, TokenPermission
from aisa.protocol.x402 import PaymentPayload, format_payload
from aisa.protocol.x402.exact import (
    EXACT_PROXY,
    Eip3009Payload,
    ExactPayload,
    Permit2Payload,
    TransferWitness,
    read_exact_payload,
)
from aisa.protocol.x402.token import PERMIT2_METHOD
from aisa.sdk.x402_asset import PayableAsset

_UNSIGNED = bytes(65)


def make_transfer(
    asset: PayableAsset, payer: bytes, to: bytes, amount: int, *, nonce: bytes, expiry: int
) -> ExactPayload:
    """Return a transfer of so many atomic units, by the way that the token is moved."""
    if asset.method != PERMIT2_METHOD:
        authorization = Authorization(payer, to, amount, 0, expiry, nonce)
        return Eip3009Payload(authorization, _UNSIGNED)
    return Permit2Payload(
        payer,
        TokenPermission(asset.address, amount),
        Permit(EXACT_PROXY, int.from_bytes(nonce), expiry),
        TransferWitness(to, 0),
        _UNSIGNED,
    )


def signed_header(asset: PayableAsset, key: EvmKey, body: bytes) -> str:
    """Return the header that carries a payment whose transfer is not signed yet.

    Raises:
        MalformedMessage: it is longer than a header may be.
    """
    payment = PaymentPayload.parse(body)
    transfer = read_exact_payload(payment.payload)
    if isinstance(transfer, Permit2Payload):
        digest = transfer.digest(chain_id_of(asset.network))
    else:
        digest = transfer.digest(asset.domain)
    if transfer.payer != key.address:
        raise MalformedMessage("the transfer is from another address than this agent's")
    signed = replace(transfer, signature=key.sign(digest))
    return format_payload(replace(payment, payload=signed.to_json()))
