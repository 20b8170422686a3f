"""The `request` object of an AIP challenge: MPP method `aisa`, intent `session`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from aisa.errors import MalformedMessage
from aisa.protocol import base64url
from aisa.protocol.aip.field import parse_json, parse_units_text

METHOD: Final = "aisa"
INTENT: Final = "session"
SIZE_MAX: Final = 4096
HUBS_MAX: Final = 8


class _HubJson(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    network: str
    fee_ppm_max: int


class _DetailsJson(msgspec.Struct, frozen=True, rename="camel"):
    hubs: list[_HubJson]
    scale: int
    payee_x25519: str = msgspec.field(name="payeeX25519")
    x_expiry: int
    x_sig: str
    session_url: str
    deposit_min: str
    ceiling_step_max: str


class _RequestJson(msgspec.Struct, frozen=True, rename="camel"):
    amount: str
    currency: str
    recipient: str
    method_details: _DetailsJson


@dataclass(frozen=True, slots=True)
class Hub:
    """A node that the payee accepts, named by its network, and the highest fee it will bear there."""

    network: str
    fee_ppm_max: int


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a seller asks for one call, and where a channel to it may stand.

    Amounts are in the currency's units at `scale` digits after the point; `x_signature` is the
    payee's over `payee_exchange_bytes(payee_x25519, x_expiry)`.
    """

    amount: int
    currency: str
    scale: int
    payee: bytes
    hubs: tuple[Hub, ...]
    payee_x25519: bytes
    x_expiry: int
    x_signature: bytes
    session_url: str
    deposit_min: int
    ceiling_step_max: int

    def format(self) -> bytes:
        """Return the JSON, with its keys in canonical (RFC 8785) order."""
        details = {
            "ceilingStepMax": str(self.ceiling_step_max),
            "depositMin": str(self.deposit_min),
            "hubs": [{"feePpmMax": h.fee_ppm_max, "network": h.network} for h in self.hubs],
            "payeeX25519": base64url.encode(self.payee_x25519),
            "scale": self.scale,
            "sessionUrl": self.session_url,
            "xExpiry": self.x_expiry,
            "xSig": base64url.encode(self.x_signature),
        }
        return msgspec.json.encode(
            {
                "amount": str(self.amount),
                "currency": self.currency,
                "methodDetails": details,
                "recipient": base64url.encode(self.payee),
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> SessionRequest:
        """Read the JSON of a challenge's request.

        Raises:
            MalformedMessage: a field is missing, out of range, or of another type.
        """
        document = parse_json(raw, _RequestJson, "request", SIZE_MAX)
        details = document.method_details
        if not 0 < len(details.hubs) <= HUBS_MAX:
            raise MalformedMessage(f"hubs must name 1 to {HUBS_MAX} nodes")
        if not 0 <= details.x_expiry < 2**53 or not 0 <= details.scale <= 11:
            raise MalformedMessage("xExpiry or scale is out of range")
        return cls(
            amount=parse_units_text(document.amount, "amount"),
            currency=document.currency,
            scale=details.scale,
            payee=base64url.decode_exact(document.recipient, "recipient", 32),
            hubs=tuple(Hub(hub.network, _fee(hub.fee_ppm_max)) for hub in details.hubs),
            payee_x25519=base64url.decode_exact(details.payee_x25519, "payeeX25519", 32),
            x_expiry=details.x_expiry,
            x_signature=base64url.decode_exact(details.x_sig, "xSig", 64),
            session_url=details.session_url,
            deposit_min=parse_units_text(details.deposit_min, "depositMin"),
            ceiling_step_max=parse_units_text(details.ceiling_step_max, "ceilingStepMax"),
        )


def _fee(fee_ppm: int) -> int:
    if not 0 <= fee_ppm <= 1_000_000:
        raise MalformedMessage("feePpmMax must be from 0 to 1,000,000")
    return fee_ppm
