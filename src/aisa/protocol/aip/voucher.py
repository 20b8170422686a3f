"""Voucher: the payer's signed ceiling.

On a hub's channel it is 50 bytes under an Ed25519 signature. In a contract of an EVM network the
signature, of 65 bytes, is over the contract's own typed data; the 50 bytes then only carry it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from aisa.errors import MalformedMessage
from aisa.protocol import base64url

_MESSAGE: Final = struct.Struct("<2s32sQq")
_MAGIC: Final = b"\x56\x02"
MESSAGE_SIZE: Final = _MESSAGE.size
SIZE: Final = MESSAGE_SIZE + 64
EVM_SIZE: Final = MESSAGE_SIZE + 65


@dataclass(frozen=True, slots=True)
class Voucher:
    """The payee may take up to `ceiling` units in total over the channel's whole life.

    `expiry` is unix seconds, and 0 (none) on a hub's channel. Only the highest ceiling counts.

    Raises:
        MalformedMessage: the channel has another size than 32 bytes, or a number is out of range.
    """

    channel: bytes
    ceiling: int
    expiry: int = 0
    signature: bytes = b""

    def __post_init__(self) -> None:
        if len(self.channel) != 32:
            raise MalformedMessage("channel must have 32 bytes")
        if not 0 <= self.ceiling < 2**63:
            raise MalformedMessage("ceiling must be from 0 to 2^63 - 1 units")
        if not 0 <= self.expiry < 2**63:
            raise MalformedMessage("expiry must be unix seconds, or 0")

    def message(self) -> bytes:
        """The 50 bytes that the payer signs: 0x56 0x02, channel, ceiling, expiry, little-endian."""
        return _MESSAGE.pack(_MAGIC, self.channel, self.ceiling, self.expiry)

    def encode(self) -> str:
        """The `Payment-Voucher` header: base64url of the message and its signature."""
        return base64url.encode(self.message() + self.signature)

    @classmethod
    def decode(cls, text: str) -> Voucher:
        """Read a `Payment-Voucher` header.

        Raises:
            MalformedMessage: not exactly a message and a signature, or another magic.
        """
        return cls.unpack(base64url.decode(text, "Payment-Voucher", bytes_max=EVM_SIZE))

    @classmethod
    def unpack(cls, raw: bytes) -> Voucher:
        """Read the 114 bytes of a message and its signature, or 115 with an EVM account's.

        Raises:
            MalformedMessage: another size or magic, or a number out of range.
        """
        if len(raw) not in {SIZE, EVM_SIZE}:
            raise MalformedMessage(f"a voucher has {SIZE} or {EVM_SIZE} bytes, not {len(raw)}")
        magic, channel, ceiling, expiry = _MESSAGE.unpack_from(raw)
        if magic != _MAGIC:
            raise MalformedMessage("the voucher's magic is not 0x56 0x02")
        return cls(channel, ceiling, expiry, raw[MESSAGE_SIZE:])

    def pack(self) -> bytes:
        """Return the bytes of the message and its signature."""
        return self.message() + self.signature
