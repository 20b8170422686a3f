"""x402 `exact` and `upto` on EVM networks: one signed transfer pays for one request.

`exact` is EIP-3009 where the token has it, else Permit2 through x402's own contract; `upto` is
Permit2 with a witness that also names who may settle, at any amount up to the one signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from aisa.protocol.eip712 import Domain, address_word, struct_hash, type_hash, uint_word
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.evm_fields import (
    optional_address,
    read_address,
    read_digits,
    read_signature,
)
from aisa.protocol.fields import Fields
from aisa.protocol.permit2 import Permit, TokenPermission, permit2_domain
from aisa.protocol.strictjson import JsonObject, JsonValue, malformed

EXACT: Final = "exact"
UPTO: Final = "upto"
EXACT_PROXY: Final = bytes.fromhex("402085c248eea27d92e8b30b2c58ed07f9e20001")
"""The contract that calls Permit2 for `exact`."""
UPTO_PROXY: Final = bytes.fromhex("4020a4f3b7b90cca423b9fabcc0ce57c6c240002")
"""The contract that calls Permit2 for `upto`."""


@dataclass(frozen=True, slots=True)
class TransferWitness:
    """Who is paid and from when (unix seconds); for `upto`, also which facilitator may settle."""

    to: bytes
    valid_after: int
    facilitator: bytes | None = None

    @property
    def type_name(self) -> str:
        """The struct's name."""
        return "Witness"

    @property
    def type_text(self) -> str:
        """The struct's type."""
        if self.facilitator is None:
            return "Witness(address to,uint256 validAfter)"
        return "Witness(address to,address facilitator,uint256 validAfter)"

    def hash(self) -> bytes:
        """The struct's hash."""
        words = [address_word(self.to), uint_word(self.valid_after)]
        if self.facilitator is not None:
            words.insert(1, address_word(self.facilitator))
        return struct_hash(type_hash(self.type_text), *words)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        members: dict[str, JsonValue] = {"to": format_address(self.to)}
        if self.facilitator is not None:
            members["facilitator"] = format_address(self.facilitator)
        return {**members, "validAfter": str(self.valid_after)}


@dataclass(frozen=True, slots=True)
class Eip3009Payload:
    """A transfer that the token itself checks."""

    authorization: Authorization
    signature: bytes

    @property
    def payer(self) -> bytes:
        """The address that pays."""
        return self.authorization.payer

    def digest(self, token: Domain) -> bytes:
        """The 32 bytes that the payer signs, in the token's own domain."""
        return token.digest(self.authorization.transfer_hash())

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "authorization": self.authorization.to_json(),
            "signature": format_bytes(self.signature),
        }


@dataclass(frozen=True, slots=True)
class Permit2Payload:
    """A transfer through Permit2; `permit.spender` must be x402's contract for the scheme."""

    payer: bytes
    permitted: TokenPermission
    permit: Permit
    witness: TransferWitness
    signature: bytes

    def digest(self, chain_id: int) -> bytes:
        """The 32 bytes that the payer signs, in Permit2's domain on that chain."""
        transfer = self.permit.transfer_hash(self.permitted, self.witness)
        return permit2_domain(chain_id).digest(transfer)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "permit2Authorization": {
                "from": format_address(self.payer),
                "permitted": self.permitted.to_json(),
                "spender": format_address(self.permit.spender),
                "nonce": str(self.permit.nonce),
                "deadline": str(self.permit.deadline),
                "witness": self.witness.to_json(),
            },
            "signature": format_bytes(self.signature),
        }


ExactPayload: TypeAlias = "Eip3009Payload | Permit2Payload"


def read_exact_payload(payload: JsonObject, *, scheme: str = EXACT) -> ExactPayload:
    """Read the `payload` of an `exact` or `upto` payment on an EVM network.

    Raises:
        MalformedMessage: it is neither way to pay, or both; a member is missing or breaks its
            bounds, and is named; or the witness is another scheme's.
    """
    fields = Fields("payload", payload)
    ways = [name for name in ("authorization", "permit2Authorization") if name in payload]
    if len(ways) != 1:
        raise malformed("payload", "has not exactly one of authorization, permit2Authorization")
    signature = read_signature(fields)
    if ways == ["authorization"]:
        if scheme != EXACT:
            raise malformed("payload", f"has no permit2Authorization, which {scheme} needs")
        return Eip3009Payload(Authorization.read(fields.fields("authorization")), signature)
    return _read_permit2(fields.fields("permit2Authorization"), signature, scheme)


def _read_permit2(permit: Fields, signature: bytes, scheme: str) -> Permit2Payload:
    witness = permit.fields("witness")
    facilitator = optional_address(witness, "facilitator")
    if (facilitator is None) is (scheme == UPTO):
        raise malformed(witness.path("facilitator"), f"does not suit the scheme {scheme}")
    return Permit2Payload(
        payer=read_address(permit, "from"),
        permitted=TokenPermission.read(permit.fields("permitted")),
        permit=Permit(
            spender=read_address(permit, "spender"),
            nonce=read_digits(permit, "nonce"),
            deadline=read_digits(permit, "deadline"),
        ),
        witness=TransferWitness(
            read_address(witness, "to"), read_digits(witness, "validAfter"), facilitator
        ),
        signature=signature,
    )
