"""The payload of a credential of method `evm`, intent `charge`: four ways to pay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from aisa.protocol import jcs
from aisa.protocol.eip712 import Domain, bytes_word, struct_hash, type_hash
from aisa.protocol.evm_address import format_address, format_bytes, parse_bytes
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.evm_fields import (
    read_address,
    read_digits,
    read_signature,
    read_word,
)
from aisa.protocol.fields import Fields
from aisa.protocol.mpp.evm_charge import (
    AUTHORIZATION_TYPE,
    HASH_TYPE,
    PERMIT2_TYPE,
    SPLITS_MAX,
    TRANSACTION_TYPE,
)
from aisa.protocol.permit2 import PERMIT2, Permit, TokenPermission, permit2_domain
from aisa.protocol.strictjson import JsonValue, malformed, parse_object

TRANSACTION_BYTES_MAX: Final = 4 * 1024
_WITNESS: Final = "PaymentWitness(bytes32 challengeHash)"


@dataclass(frozen=True, slots=True)
class PaymentWitness:
    """The challenge that a Permit2 signature pays."""

    challenge: bytes

    @property
    def type_name(self) -> str:
        """The struct's name."""
        return "PaymentWitness"

    @property
    def type_text(self) -> str:
        """The struct's type."""
        return _WITNESS

    def hash(self) -> bytes:
        """The struct's hash."""
        return struct_hash(type_hash(_WITNESS), bytes_word(self.challenge))


@dataclass(frozen=True, slots=True)
class PermitPayload:
    """Transfers through Permit2: `permitted` and `transfers` (to, units) go in pairs.

    The spender is not in the payload: it is who calls Permit2, the request's `spender` if it names
    one.
    """

    permitted: tuple[TokenPermission, ...]
    transfers: tuple[tuple[bytes, int], ...]
    nonce: int
    deadline: int
    witness: PaymentWitness
    signature: bytes

    def digest(self, chain_id: int, spender: bytes, contract: bytes = PERMIT2) -> bytes:
        """The 32 bytes that the payer signs, in Permit2's domain on that chain."""
        permit = Permit(spender, self.nonce, self.deadline)
        if len(self.permitted) == 1:
            signed = permit.transfer_hash(self.permitted[0], self.witness)
        else:
            signed = permit.batch_hash(self.permitted, self.witness)
        return permit2_domain(chain_id, contract).digest(signed)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "type": PERMIT2_TYPE,
            "permit": {
                "permitted": [one.to_json() for one in self.permitted],
                "nonce": str(self.nonce),
                "deadline": str(self.deadline),
            },
            "transferDetails": [
                {"to": format_address(to), "requestedAmount": str(units)}
                for to, units in self.transfers
            ],
            "witness": {"challengeHash": format_bytes(self.witness.challenge)},
            "signature": format_bytes(self.signature),
        }


@dataclass(frozen=True, slots=True)
class AuthorizationPayload:
    """A transfer that the token checks; its nonce must be the challenge's hash."""

    authorization: Authorization
    signature: bytes

    def digest(self, token: Domain) -> bytes:
        """The 32 bytes that the payer signs, in the token's own domain."""
        return token.digest(self.authorization.transfer_hash())

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "type": AUTHORIZATION_TYPE,
            **self.authorization.to_json(),
            "signature": format_bytes(self.signature),
        }


@dataclass(frozen=True, slots=True)
class TransactionPayload:
    """A signed EIP-1559 transaction that calls the token's `transfer`, for the seller to send."""

    transaction: bytes

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {"type": TRANSACTION_TYPE, "signature": format_bytes(self.transaction)}


@dataclass(frozen=True, slots=True)
class HashPayload:
    """The 32-byte hash of a transaction that the payer has sent."""

    transaction_hash: bytes

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {"type": HASH_TYPE, "hash": format_bytes(self.transaction_hash)}


ChargePayload: TypeAlias = "PermitPayload | AuthorizationPayload | TransactionPayload | HashPayload"


def format_charge(payload: ChargePayload) -> bytes:
    """Return the canonical JSON of a credential's `payload`."""
    return jcs.canonical(payload.to_json(), "payload")


def parse_charge(raw: bytes) -> ChargePayload:
    """Read a credential's `payload`; no signature is checked here.

    Raises:
        MalformedMessage: another type; a member is missing or breaks its bounds, and is named.
    """
    payload = Fields("payload", parse_object(raw, "payload"))
    reader = _READERS.get(payload.text("type", chars_max=32))
    if reader is None:
        raise malformed("payload.type", f"is not one of {', '.join(_READERS)}")
    return reader(payload)


def _read_permit(payload: Fields) -> PermitPayload:
    permit = payload.fields("permit")
    permitted = permit.each("permitted", items_max=SPLITS_MAX + 1)
    transfers = payload.each("transferDetails", items_max=SPLITS_MAX + 1)
    if not permitted or len(permitted) != len(transfers):
        raise malformed(payload.path("transferDetails"), "does not pair with permitted")
    return PermitPayload(
        permitted=tuple(TokenPermission.read(one) for one in permitted),
        transfers=tuple(
            (read_address(one, "to"), read_digits(one, "requestedAmount")) for one in transfers
        ),
        nonce=read_digits(permit, "nonce"),
        deadline=read_digits(permit, "deadline"),
        witness=PaymentWitness(read_word(payload.fields("witness"), "challengeHash")),
        signature=read_signature(payload),
    )


def _read_authorization(payload: Fields) -> AuthorizationPayload:
    return AuthorizationPayload(Authorization.read(payload), read_signature(payload))


def _read_transaction(payload: Fields) -> TransactionPayload:
    text = payload.text("signature", chars_max=2 + 2 * TRANSACTION_BYTES_MAX)
    what = payload.path("signature")
    return TransactionPayload(parse_bytes(text, what, bytes_max=TRANSACTION_BYTES_MAX))


def _read_hash(payload: Fields) -> HashPayload:
    return HashPayload(read_word(payload, "hash"))


_READERS: Final[dict[str, Callable[[Fields], ChargePayload]]] = {
    PERMIT2_TYPE: _read_permit,
    AUTHORIZATION_TYPE: _read_authorization,
    TRANSACTION_TYPE: _read_transaction,
    HASH_TYPE: _read_hash,
}
