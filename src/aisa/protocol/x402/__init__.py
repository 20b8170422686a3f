"""x402, version 2: the objects, and the three headers that carry them."""

from aisa.protocol.x402.header import (
    HEADER_CHARS_MAX,
    PAYMENT_REQUIRED,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    format_payload,
    format_required,
    format_settlement,
    parse_payload,
    parse_required,
    parse_settlement,
)
from aisa.protocol.x402.outcome import SettlementResponse, VerifyResponse
from aisa.protocol.x402.payload import PaymentPayload
from aisa.protocol.x402.requirements import (
    VERSION,
    PaymentRequired,
    PaymentRequirements,
    ResourceInfo,
)

__all__ = [
    "HEADER_CHARS_MAX",
    "PAYMENT_REQUIRED",
    "PAYMENT_RESPONSE",
    "PAYMENT_SIGNATURE",
    "VERSION",
    "PaymentPayload",
    "PaymentRequired",
    "PaymentRequirements",
    "ResourceInfo",
    "SettlementResponse",
    "VerifyResponse",
    "format_payload",
    "format_required",
    "format_settlement",
    "parse_payload",
    "parse_required",
    "parse_settlement",
]
