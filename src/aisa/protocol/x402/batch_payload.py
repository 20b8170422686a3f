"""The payloads of `batch-settlement`: what a payer sends, and what a seller sends to settle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from aisa.protocol.eip712 import UINT128_MAX, Domain, bytes_word, struct_hash, type_hash
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.evm_authorization import Authorization
from aisa.protocol.evm_fields import (
    optional_digits,
    read_address,
    read_digits,
    read_signature,
    read_word,
)
from aisa.protocol.fields import Fields
from aisa.protocol.permit2 import Permit, TokenPermission, permit2_domain
from aisa.protocol.strictjson import JsonObject, JsonValue, malformed, present
from aisa.protocol.x402.batch import (
    EIP3009_COLLECTOR,
    BatchVoucher,
    ChannelConfig,
    Claim,
    deposit_nonce,
)

CLAIMS_MAX: Final = 100
_WITNESS: Final = "DepositWitness(bytes32 channelId)"


@dataclass(frozen=True, slots=True)
class DepositWitness:
    """The channel that a Permit2 deposit is for."""

    channel: bytes

    @property
    def type_name(self) -> str:
        """The struct's name."""
        return "DepositWitness"

    @property
    def type_text(self) -> str:
        """The struct's type."""
        return _WITNESS

    def hash(self) -> bytes:
        """The struct's hash."""
        return struct_hash(type_hash(_WITNESS), bytes_word(self.channel))


@dataclass(frozen=True, slots=True)
class Eip3009Deposit:
    """A deposit that the token checks; payer, amount and collector follow from the channel."""

    valid_after: int
    valid_before: int
    salt: bytes
    signature: bytes

    def authorization(
        self, config: ChannelConfig, channel: bytes, amount: int, collector: bytes
    ) -> Authorization:
        """Return the transfer to the collector that the payer signed."""
        nonce = deposit_nonce(channel, self.salt)
        return Authorization(
            config.payer, collector, amount, self.valid_after, self.valid_before, nonce
        )

    def digest(
        self,
        token: Domain,
        config: ChannelConfig,
        channel: bytes,
        amount: int,
        collector: bytes = EIP3009_COLLECTOR,
    ) -> bytes:
        """The 32 bytes that the payer signs, in the token's own domain."""
        signed = self.authorization(config, channel, amount, collector)
        return token.digest(signed.receive_hash())

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "validAfter": str(self.valid_after),
            "validBefore": str(self.valid_before),
            "salt": format_bytes(self.salt),
            "signature": format_bytes(self.signature),
        }

    @classmethod
    def read(cls, fields: Fields) -> Eip3009Deposit:
        """Read the JSON object.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        return cls(
            read_digits(fields, "validAfter"),
            read_digits(fields, "validBefore"),
            read_word(fields, "salt"),
            read_signature(fields),
        )


@dataclass(frozen=True, slots=True)
class Permit2Deposit:
    """A deposit through Permit2; `permit.spender` must be the collector."""

    payer: bytes
    permitted: TokenPermission
    permit: Permit
    witness: DepositWitness
    signature: bytes

    def digest(self, chain_id: int) -> bytes:
        """The 32 bytes that the payer signs, in Permit2's domain on that chain."""
        transfer = self.permit.transfer_hash(self.permitted, self.witness)
        return permit2_domain(chain_id).digest(transfer)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "from": format_address(self.payer),
            "permitted": self.permitted.to_json(),
            "spender": format_address(self.permit.spender),
            "nonce": str(self.permit.nonce),
            "deadline": str(self.permit.deadline),
            "witness": {"channelId": format_bytes(self.witness.channel)},
            "signature": format_bytes(self.signature),
        }

    @classmethod
    def read(cls, fields: Fields) -> Permit2Deposit:
        """Read the JSON object.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        permit = Permit(
            read_address(fields, "spender"),
            read_digits(fields, "nonce"),
            read_digits(fields, "deadline"),
        )
        return cls(
            payer=read_address(fields, "from"),
            permitted=TokenPermission.read(fields.fields("permitted")),
            permit=permit,
            witness=DepositWitness(read_word(fields.fields("witness"), "channelId")),
            signature=read_signature(fields),
        )


@dataclass(frozen=True, slots=True)
class VoucherPayload:
    """A call inside a channel that is funded."""

    config: ChannelConfig
    voucher: BatchVoucher

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {"type": "voucher", **_channel(self.config, self.voucher)}


@dataclass(frozen=True, slots=True)
class DepositPayload:
    """A call that opens a channel or adds `amount` units to it."""

    config: ChannelConfig
    voucher: BatchVoucher
    amount: int
    authorization: Eip3009Deposit | Permit2Deposit

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        is_permit2 = isinstance(self.authorization, Permit2Deposit)
        way = "permit2Authorization" if is_permit2 else "erc3009Authorization"
        return {
            "type": "deposit",
            **_channel(self.config, self.voucher),
            "deposit": {
                "amount": str(self.amount),
                "authorization": {way: self.authorization.to_json()},
            },
        }


@dataclass(frozen=True, slots=True)
class RefundPayload:
    """The payer asks for `amount` units back, or for all that is not charged.

    What the seller adds before it asks a facilitator to settle is None as the payer sends it: the
    channel's refund nonce, the claims to settle first, and the authorizer's signatures.
    """

    config: ChannelConfig
    voucher: BatchVoucher
    amount: int | None = None
    nonce: int | None = None
    claims: tuple[Claim, ...] | None = None
    refund_signature: bytes | None = None
    claim_signature: bytes | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        claims = None if self.claims is None else [one.to_json() for one in self.claims]
        return present(
            {
                "type": "refund",
                **_channel(self.config, self.voucher),
                "amount": _digits(self.amount),
                "refundNonce": _digits(self.nonce),
                "claims": claims,
                "refundAuthorizerSignature": _hex(self.refund_signature),
                "claimAuthorizerSignature": _hex(self.claim_signature),
            },
        )


@dataclass(frozen=True, slots=True)
class ClaimPayload:
    """A seller has vouchers claimed; without a signature, the facilitator's own must count."""

    claims: tuple[Claim, ...]
    signature: bytes | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return present(
            {
                "type": "claim",
                "claims": [one.to_json() for one in self.claims],
                "claimAuthorizerSignature": _hex(self.signature),
            },
        )


@dataclass(frozen=True, slots=True)
class SettlePayload:
    """A seller has what was claimed sent to it."""

    receiver: bytes
    token: bytes

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "type": "settle",
            "receiver": format_address(self.receiver),
            "token": format_address(self.token),
        }


BatchPayload: TypeAlias = (
    "VoucherPayload | DepositPayload | RefundPayload | ClaimPayload | SettlePayload"
)


def read_batch_payload(payload: JsonObject) -> BatchPayload:
    """Read the `payload` of a `batch-settlement` payment or settle action.

    Raises:
        MalformedMessage: another type; a member is missing or breaks its bounds, and is named.
    """
    fields = Fields("payload", payload)
    reader = _READERS.get(fields.text("type", chars_max=16))
    if reader is None:
        raise malformed("payload.type", "is not deposit, voucher, refund, claim or settle")
    return reader(fields)


def _read_voucher(fields: Fields) -> VoucherPayload:
    return VoucherPayload(*_read_channel(fields))


def _read_deposit(fields: Fields) -> DepositPayload:
    config, voucher = _read_channel(fields)
    deposit = fields.fields("deposit")
    amount = read_digits(deposit, "amount", UINT128_MAX)
    ways = deposit.fields("authorization")
    named = [name for name in _DEPOSITS if ways.members.get(name) is not None]
    if len(named) != 1:
        raise malformed(ways.what, f"has not exactly one of {', '.join(_DEPOSITS)}")
    authorization = _DEPOSITS[named[0]](ways.fields(named[0]))
    return DepositPayload(config, voucher, amount, authorization)


def _read_refund(fields: Fields) -> RefundPayload:
    config, voucher = _read_channel(fields)
    return RefundPayload(
        config,
        voucher,
        amount=optional_digits(fields, "amount", UINT128_MAX),
        nonce=optional_digits(fields, "refundNonce"),
        claims=None if fields.members.get("claims") is None else _read_claims(fields),
        refund_signature=_optional_signature(fields, "refundAuthorizerSignature"),
        claim_signature=_optional_signature(fields, "claimAuthorizerSignature"),
    )


def _read_claim(fields: Fields) -> ClaimPayload:
    signature = _optional_signature(fields, "claimAuthorizerSignature")
    return ClaimPayload(_read_claims(fields), signature)


def _read_settle(fields: Fields) -> SettlePayload:
    return SettlePayload(read_address(fields, "receiver"), read_address(fields, "token"))


_DEPOSITS: Final[dict[str, Callable[[Fields], Eip3009Deposit | Permit2Deposit]]] = {
    "erc3009Authorization": Eip3009Deposit.read,
    "permit2Authorization": Permit2Deposit.read,
}
_READERS: Final[dict[str, Callable[[Fields], BatchPayload]]] = {
    "voucher": _read_voucher,
    "deposit": _read_deposit,
    "refund": _read_refund,
    "claim": _read_claim,
    "settle": _read_settle,
}


def _channel(config: ChannelConfig, voucher: BatchVoucher) -> dict[str, JsonValue]:
    return {"channelConfig": config.to_json(), "voucher": voucher.to_json()}


def _read_channel(fields: Fields) -> tuple[ChannelConfig, BatchVoucher]:
    config = ChannelConfig.read(fields.fields("channelConfig"))
    return config, BatchVoucher.read(fields.fields("voucher"))


def _read_claims(fields: Fields) -> tuple[Claim, ...]:
    return tuple(Claim.read(one) for one in fields.each("claims", items_max=CLAIMS_MAX))


def _optional_signature(fields: Fields, name: str) -> bytes | None:
    return None if fields.members.get(name) is None else read_signature(fields, name)


def _digits(value: int | None) -> str | None:
    return None if value is None else str(value)


def _hex(data: bytes | None) -> str | None:
    return None if data is None else format_bytes(data)
