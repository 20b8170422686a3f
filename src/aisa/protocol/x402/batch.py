"""x402 `batch-settlement` on EVM networks: what is signed for a channel of the escrow contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from aisa.protocol.eip712 import (
    UINT128_MAX,
    Domain,
    bytes_word,
    struct_hash,
    type_hash,
    uint_word,
)
from aisa.protocol.escrow import (
    BATCH_CONTRACT,
    WITHDRAW_DELAY_S_MAX,
    WITHDRAW_DELAY_S_MIN,
    ChannelConfig,
    batch_domain,
    voucher_digest,
)
from aisa.protocol.evm_address import format_bytes
from aisa.protocol.evm_fields import read_digits, read_signature, read_word
from aisa.protocol.fields import Fields
from aisa.protocol.keccak import keccak_256
from aisa.protocol.strictjson import JsonValue

__all__ = [
    "BATCH",
    "BATCH_CONTRACT",
    "EIP3009_COLLECTOR",
    "PERMIT2_COLLECTOR",
    "WITHDRAW_DELAY_S_MAX",
    "WITHDRAW_DELAY_S_MIN",
    "BatchVoucher",
    "ChannelConfig",
    "Claim",
    "batch_domain",
    "claims_digest",
    "deposit_nonce",
    "refund_digest",
    "voucher_digest",
]

BATCH: Final = "batch-settlement"
EIP3009_COLLECTOR: Final = bytes.fromhex("4020806089470a89826cb9fb1f4059150b550004")
"""The contract that takes EIP-3009 deposits for it."""
PERMIT2_COLLECTOR: Final = bytes.fromhex("4020425faf3b746c082c2f942b4e5159887b0005")
"""The contract that takes Permit2 deposits for it."""
_REFUND: Final = "Refund(bytes32 channelId,uint256 nonce,uint128 amount)"
_ENTRY: Final = "ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
_CLAIMS: Final = f"ClaimBatch(ClaimEntry[] claims){_ENTRY}"


class BatchVoucher(NamedTuple):
    """The receiver may claim up to `ceiling` units in total; only the highest one counts."""

    channel: bytes
    ceiling: int
    signature: bytes

    def digest(self, escrow: Domain) -> bytes:
        """The 32 bytes that the payer's voucher key signs."""
        return voucher_digest(escrow, self.channel, self.ceiling)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "channelId": format_bytes(self.channel),
            "maxClaimableAmount": str(self.ceiling),
            "signature": format_bytes(self.signature),
        }

    @classmethod
    def read(cls, fields: Fields) -> BatchVoucher:
        """Read the JSON object.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        return cls(
            read_word(fields, "channelId"),
            read_digits(fields, "maxClaimableAmount", UINT128_MAX),
            read_signature(fields),
        )


class Claim(NamedTuple):
    """What the receiver takes of a channel in total, `claimed`, under a voucher that allows it."""

    config: ChannelConfig
    ceiling: int
    signature: bytes
    claimed: int

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "voucher": {
                "channel": self.config.to_json(),
                "maxClaimableAmount": str(self.ceiling),
            },
            "signature": format_bytes(self.signature),
            "totalClaimed": str(self.claimed),
        }

    @classmethod
    def read(cls, fields: Fields) -> Claim:
        """Read the JSON object.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        voucher = fields.fields("voucher")
        return cls(
            config=ChannelConfig.read(voucher.fields("channel")),
            ceiling=read_digits(voucher, "maxClaimableAmount", UINT128_MAX),
            signature=read_signature(fields),
            claimed=read_digits(fields, "totalClaimed", UINT128_MAX),
        )


def refund_digest(escrow: Domain, channel: bytes, nonce: int, amount: int) -> bytes:
    """Return the 32 bytes that the receiver's authorizer signs to give `amount` units back.

    Raises:
        MalformedMessage: a member has another size, or is out of range.
    """
    words = bytes_word(channel), uint_word(nonce), uint_word(amount, UINT128_MAX)
    return escrow.digest(struct_hash(type_hash(_REFUND), *words))


def claims_digest(escrow: Domain, claims: Iterable[Claim]) -> bytes:
    """Return the 32 bytes that the receiver's authorizer signs to have claims sent for it.

    Raises:
        MalformedMessage: a member has another size, or is out of range.
    """
    entries = b"".join(
        struct_hash(
            type_hash(_ENTRY),
            claim.config.channel_id(escrow),
            uint_word(claim.ceiling, UINT128_MAX),
            uint_word(claim.claimed, UINT128_MAX),
        )
        for claim in claims
    )
    return escrow.digest(struct_hash(type_hash(_CLAIMS), keccak_256(entries)))


def deposit_nonce(channel: bytes, salt: bytes) -> bytes:
    """Return the EIP-3009 nonce of a deposit, which ties the transfer to one channel.

    Raises:
        MalformedMessage: the channel or the salt has another size than 32 bytes.
    """
    return keccak_256(bytes_word(channel) + bytes_word(salt))
