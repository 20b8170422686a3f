"""What a token's holder signs so that somebody else may move the tokens and pay for the gas.

EIP-3009 moves an amount once (random nonce, a time window); EIP-2612 grants an allowance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aisa.protocol.eip712 import address_word, bytes_word, struct_hash, type_hash, uint_word
from aisa.protocol.evm_address import format_address, format_bytes
from aisa.protocol.evm_fields import read_address, read_digits, read_word
from aisa.protocol.fields import Fields
from aisa.protocol.strictjson import JsonValue

_MEMBERS: Final = (
    "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
)
_TRANSFER: Final = f"TransferWithAuthorization({_MEMBERS})"
_RECEIVE: Final = f"ReceiveWithAuthorization({_MEMBERS})"
_PERMIT: Final = (
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)


@dataclass(frozen=True, slots=True)
class Authorization:
    """EIP-3009: `value` units from `payer` to `to`, once, while valid_after < now < valid_before.

    Times are unix seconds; addresses have 20 bytes, the nonce 32.
    """

    payer: bytes
    to: bytes
    value: int
    valid_after: int
    valid_before: int
    nonce: bytes

    def transfer_hash(self) -> bytes:
        """The struct hash under which anybody may send the transfer.

        Raises:
            MalformedMessage: a member has another size, or is out of range.
        """
        return struct_hash(type_hash(_TRANSFER), *self._words())

    def receive_hash(self) -> bytes:
        """The struct hash under which only `to` itself may call for the transfer.

        Raises:
            MalformedMessage: a member has another size, or is out of range.
        """
        return struct_hash(type_hash(_RECEIVE), *self._words())

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON object; numbers are strings of digits."""
        return {
            "from": format_address(self.payer),
            "to": format_address(self.to),
            "value": str(self.value),
            "validAfter": str(self.valid_after),
            "validBefore": str(self.valid_before),
            "nonce": format_bytes(self.nonce),
        }

    @classmethod
    def read(cls, fields: Fields) -> Authorization:
        """Read the JSON object.

        Raises:
            MalformedMessage: a member is missing or breaks its bounds; names it.
        """
        return cls(
            payer=read_address(fields, "from"),
            to=read_address(fields, "to"),
            value=read_digits(fields, "value"),
            valid_after=read_digits(fields, "validAfter"),
            valid_before=read_digits(fields, "validBefore"),
            nonce=read_word(fields, "nonce"),
        )

    def _words(self) -> tuple[bytes, ...]:
        return (
            address_word(self.payer),
            address_word(self.to),
            uint_word(self.value),
            uint_word(self.valid_after),
            uint_word(self.valid_before),
            bytes_word(self.nonce),
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """EIP-2612: `spender` may move up to `value` units of `owner`'s until `deadline` (unix seconds).

    `nonce` is the count that the token keeps for the owner.
    """

    owner: bytes
    spender: bytes
    value: int
    nonce: int
    deadline: int

    def permit_hash(self) -> bytes:
        """The struct hash that the owner signs in the token's domain.

        Raises:
            MalformedMessage: a member has another size, or is out of range.
        """
        return struct_hash(
            type_hash(_PERMIT),
            address_word(self.owner),
            address_word(self.spender),
            uint_word(self.value),
            uint_word(self.nonce),
            uint_word(self.deadline),
        )
