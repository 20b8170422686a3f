"""x402 `batch-settlement` on EVM networks: the channel, what is signed for it, and its contract.

A channel is its config for ever: the id is the config's hash in the domain of the escrow contract,
so nothing that is signed for it counts on another chain or for another contract.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from aisa.errors import MalformedMessage
from aisa.protocol.eip712 import (
    UINT40_MAX,
    UINT128_MAX,
    Domain,
    address_word,
    bytes_word,
    struct_hash,
    type_hash,
    uint_word,
)
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.evm_fields import read_address, read_digits, read_signature, read_word
from aisa.protocol.fields import Fields
from aisa.protocol.keccak import keccak_256
from aisa.protocol.strictjson import JsonValue

BATCH: Final = "batch-settlement"
BATCH_CONTRACT: Final = bytes.fromhex("4020074e9df2ce1dee5a9c1b5c3f541d02a10003")
"""The address that x402's own escrow contract has on every network."""
EIP3009_COLLECTOR: Final = bytes.fromhex("4020806089470a89826cb9fb1f4059150b550004")
"""The contract that takes EIP-3009 deposits for it."""
PERMIT2_COLLECTOR: Final = bytes.fromhex("4020425faf3b746c082c2f942b4e5159887b0005")
"""The contract that takes Permit2 deposits for it."""
WITHDRAW_DELAY_S_MIN: Final = 900
WITHDRAW_DELAY_S_MAX: Final = 2_592_000

_CONFIG: Final = (
    "ChannelConfig(address payer,address payerAuthorizer,address receiver,"
    "address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
)
_VOUCHER: Final = "Voucher(bytes32 channelId,uint128 maxClaimableAmount)"
_REFUND: Final = "Refund(bytes32 channelId,uint256 nonce,uint128 amount)"
_ENTRY: Final = "ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
_CLAIMS: Final = f"ClaimBatch(ClaimEntry[] claims){_ENTRY}"


def batch_domain(chain_id: int, contract: bytes = BATCH_CONTRACT) -> Domain:
    """Return the domain of an escrow contract; our own has the same name and types."""
    return Domain("x402 Batch Settlement", "1", chain_id, contract)


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Who pays whom, in which token, and how long the payer waits to take the rest back.

    Addresses have 20 bytes, the salt 32. `payer_authorizer` is the key that signs vouchers; zero
    means that `payer` signs them, as an account or as a contract (ERC-1271). `receiver_authorizer`
    signs claims and refunds that somebody else sends. `withdraw_delay_s` is 15 minutes to 30 days.
    """

    payer: bytes
    payer_authorizer: bytes
    receiver: bytes
    receiver_authorizer: bytes
    token: bytes
    withdraw_delay_s: int
    salt: bytes

    def channel_id(self, escrow: Domain) -> bytes:
        """The 32-byte id of the channel in that contract.

        Raises:
            MalformedMessage: a member has another size, or the delay is out of range.
        """
        return escrow.digest(self.hash())

    def hash(self) -> bytes:
        """The struct's hash."""
        return struct_hash(
            type_hash(_CONFIG),
            address_word(self.payer),
            address_word(self.payer_authorizer),
            address_word(self.receiver),
            address_word(self.receiver_authorizer),
            address_word(self.token),
            uint_word(self.withdraw_delay_s, UINT40_MAX),
            bytes_word(self.salt),
        )

    @property
    def voucher_key(self) -> bytes:
        """The address whose signature makes a voucher."""
        return self.payer_authorizer if any(self.payer_authorizer) else self.payer

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object."""
        return {
            "payer": format_address(self.payer),
            "payerAuthorizer": format_address(self.payer_authorizer),
            "receiver": format_address(self.receiver),
            "receiverAuthorizer": format_address(self.receiver_authorizer),
            "token": format_address(self.token),
            "withdrawDelay": self.withdraw_delay_s,
            "salt": format_bytes(self.salt),
        }

    @classmethod
    def read(cls, fields: Fields) -> ChannelConfig:
        """Read the JSON object; that the delay is one that the contract takes is not checked.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        return cls(
            payer=read_address(fields, "payer"),
            payer_authorizer=read_address(fields, "payerAuthorizer"),
            receiver=read_address(fields, "receiver"),
            receiver_authorizer=read_address(fields, "receiverAuthorizer"),
            token=read_address(fields, "token"),
            withdraw_delay_s=fields.integer("withdrawDelay", high=UINT40_MAX),
            salt=read_word(fields, "salt"),
        )


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


def voucher_digest(escrow: Domain, channel: bytes, ceiling: int) -> bytes:
    """Return the 32 bytes that a payer signs for a ceiling.

    Raises:
        MalformedMessage: the channel has another size than 32 bytes, or the ceiling is above 128
            bits.
    """
    # One per voucher that raises a ceiling, so the members are packed here and now.
    if len(channel) != 32 or not 0 <= ceiling <= UINT128_MAX:
        raise MalformedMessage("a voucher has a channel of 32 bytes and a ceiling of 128 bits")
    return escrow.digest(keccak_256(type_hash(_VOUCHER) + channel + ceiling.to_bytes(32)))


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
