"""The three x402 headers: padded standard base64 of the objects' JSON, at most 8 KiB each."""

from __future__ import annotations

from typing import Final

from aisa.protocol.base64url import decode_standard, encode_standard
from aisa.protocol.strictjson import malformed
from aisa.protocol.x402.outcome import SettlementResponse
from aisa.protocol.x402.payload import PaymentPayload
from aisa.protocol.x402.requirements import PaymentRequired

PAYMENT_REQUIRED: Final = "PAYMENT-REQUIRED"
PAYMENT_SIGNATURE: Final = "PAYMENT-SIGNATURE"
PAYMENT_RESPONSE: Final = "PAYMENT-RESPONSE"
HEADER_CHARS_MAX: Final = 8 * 1024
_BYTES_MAX: Final = HEADER_CHARS_MAX // 4 * 3


def format_required(required: PaymentRequired) -> str:
    """Return the value of `PAYMENT-REQUIRED`.

    Raises:
        MalformedMessage: it is longer than 8 KiB.
    """
    return _format(required.encode(), PAYMENT_REQUIRED)


def parse_required(value: str) -> PaymentRequired:
    """Read the value of `PAYMENT-REQUIRED`.

    Raises:
        MalformedMessage: it is longer than 8 KiB, not base64, or not the object.
    """
    return PaymentRequired.parse(_parse(value, PAYMENT_REQUIRED))


def format_payload(payload: PaymentPayload) -> str:
    """Return the value of `PAYMENT-SIGNATURE`.

    Raises:
        MalformedMessage: it is longer than 8 KiB.
    """
    return _format(payload.encode(), PAYMENT_SIGNATURE)


def parse_payload(value: str) -> PaymentPayload:
    """Read the value of `PAYMENT-SIGNATURE`.

    Raises:
        MalformedMessage: it is longer than 8 KiB, not base64, or not the object.
    """
    return PaymentPayload.parse(_parse(value, PAYMENT_SIGNATURE))


def format_settlement(response: SettlementResponse) -> str:
    """Return the value of `PAYMENT-RESPONSE`.

    Raises:
        MalformedMessage: it is longer than 8 KiB.
    """
    return _format(response.encode(), PAYMENT_RESPONSE)


def parse_settlement(value: str) -> SettlementResponse:
    """Read the value of `PAYMENT-RESPONSE`.

    Raises:
        MalformedMessage: it is longer than 8 KiB, not base64, or not the object.
    """
    return SettlementResponse.parse(_parse(value, PAYMENT_RESPONSE))


def _format(body: bytes, what: str) -> str:
    if len(body) > _BYTES_MAX:
        raise malformed(what, f"is longer than {HEADER_CHARS_MAX} characters")
    return encode_standard(body)


def _parse(value: str, what: str) -> bytes:
    return decode_standard(value.strip(" "), what, bytes_max=_BYTES_MAX)
