"""The escrow contract of EVM networks: a channel's config and id, and the voucher for it.

A channel is its config for ever: the id is the config's hash in the domain of the contract, so
nothing that is signed for it counts on another chain or for another contract. The types are those
of x402's batch settlement, and so is the domain's name; our own contract has the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
from aisa.protocol.evm_fields import read_address, read_word
from aisa.protocol.fields import Fields
from aisa.protocol.keccak import keccak_256
from aisa.protocol.strictjson import JsonValue

PACKED_SIZE: Final = 137
_DELAY_SIZE: Final = 5
BATCH_CONTRACT: Final = bytes.fromhex("4020074e9df2ce1dee5a9c1b5c3f541d02a10003")
"""The address that x402's own escrow contract has on every network."""
WITHDRAW_DELAY_S_MIN: Final = 900
WITHDRAW_DELAY_S_MAX: Final = 2_592_000

_CONFIG: Final = (
    "ChannelConfig(address payer,address payerAuthorizer,address receiver,"
    "address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
)
_VOUCHER: Final = "Voucher(bytes32 channelId,uint128 maxClaimableAmount)"


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

    def pack(self) -> bytes:
        """Return the 137 bytes that a store keeps."""
        delay = self.withdraw_delay_s.to_bytes(_DELAY_SIZE)
        parties = self.payer + self.payer_authorizer + self.receiver + self.receiver_authorizer
        return parties + self.token + delay + self.salt

    @classmethod
    def unpack(cls, raw: bytes) -> ChannelConfig:
        """Read what `pack` wrote.

        Raises:
            MalformedMessage: it has another size.
        """
        if len(raw) != PACKED_SIZE:
            raise MalformedMessage(f"a packed config has {PACKED_SIZE} bytes, not {len(raw)}")
        payer, authorizer, receiver, receivers, token = (
            raw[at : at + 20] for at in range(0, 100, 20)
        )
        delay_s = int.from_bytes(raw[100 : 100 + _DELAY_SIZE])
        return cls(payer, authorizer, receiver, receivers, token, delay_s, raw[100 + _DELAY_SIZE :])

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
