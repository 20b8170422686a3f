"""Session: the payer's signature under a tick key and a range of lanes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from aisa.errors import MalformedMessage
from aisa.protocol.frame import frame, u16, u32, u64


@dataclass(frozen=True, slots=True)
class Session:
    """Both X25519 keys, the lanes `lane_first … lane_first + lane_count - 1`, expiry in unix seconds.

    Raises:
        MalformedMessage: a lane is outside 32 bits, the range is empty, or a key has another size.
    """

    channel: bytes
    payer_x25519: bytes
    payee_x25519: bytes
    lane_first: int
    lane_count: int
    expiry: int
    signature: bytes = b""

    def __post_init__(self) -> None:
        if not 0 <= self.lane_first < 2**32:
            raise MalformedMessage("lane_first must fit 32 bits")
        if not 0 < self.lane_count < 2**16 or self.lane_first + self.lane_count > 2**32:
            raise MalformedMessage("lane_count must be from 1 to 65,535 and stay within 32 bits")
        if not 0 <= self.expiry < 2**63:
            raise MalformedMessage("expiry must be unix seconds")
        if any(len(key) != 32 for key in (self.channel, self.payer_x25519, self.payee_x25519)):
            raise MalformedMessage("channel and X25519 keys must have 32 bytes")

    def signing_bytes(self) -> bytes:
        """What the payer signs."""
        return frame(
            "AISA-SESSION/1",
            self.channel,
            self.payer_x25519,
            self.payee_x25519,
            u32(self.lane_first),
            u16(self.lane_count),
            u64(self.expiry),
        )

    @property
    def hash(self) -> bytes:
        """SHA-256 of the signing bytes: the session's name, and the info of its key derivation."""
        return hashlib.sha256(self.signing_bytes()).digest()

    @property
    def lanes(self) -> range:
        """The lanes that this session may use."""
        return range(self.lane_first, self.lane_first + self.lane_count)
