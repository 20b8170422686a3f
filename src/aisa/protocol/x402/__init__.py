"""x402, version 2: the objects, and the three headers that carry them.

What one scheme or extension alone has stands in a module of its own: `exact`, `batch` with
`batch_payload` and `batch_state`, `attestation`, `bazaar`.
"""

from aisa.protocol.x402.facilitator import FacilitatorRequest, Supported, SupportedKind
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
from aisa.protocol.x402.identifier import PAYMENT_IDENTIFIER, PaymentIdentifier
from aisa.protocol.x402.outcome import SettlementResponse, VerifyResponse
from aisa.protocol.x402.payload import PaymentPayload
from aisa.protocol.x402.requirements import (
    VERSION,
    PaymentRequired,
    PaymentRequirements,
    ResourceInfo,
)
from aisa.protocol.x402.token import TokenExtra

__all__ = [
    "HEADER_CHARS_MAX",
    "PAYMENT_IDENTIFIER",
    "PAYMENT_REQUIRED",
    "PAYMENT_RESPONSE",
    "PAYMENT_SIGNATURE",
    "VERSION",
    "FacilitatorRequest",
    "PaymentIdentifier",
    "PaymentPayload",
    "PaymentRequired",
    "PaymentRequirements",
    "ResourceInfo",
    "SettlementResponse",
    "Supported",
    "SupportedKind",
    "TokenExtra",
    "VerifyResponse",
    "format_payload",
    "format_required",
    "format_settlement",
    "parse_payload",
    "parse_required",
    "parse_settlement",
]
