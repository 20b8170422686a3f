"""Deposit statement: the holder's signed word on what stands behind a channel."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.errors import MalformedMessage
from aisa.protocol.frame import frame, u32, u64

FEE_PPM_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class DepositStatement:
    """`deposit` units in total stand behind `channel`; the holder takes `fee_ppm` on redemption.

    `issued` is in unix seconds. A later statement replaces an earlier one when its deposit is
    higher.

    Raises:
        MalformedMessage: a field is out of range.
    """

    channel: bytes
    deposit: int
    fee_ppm: int
    issued: int
    signature: bytes = b""

    def __post_init__(self) -> None:
        if not 0 <= self.deposit < 2**63:
            raise MalformedMessage("deposit must be from 0 to 2^63 - 1 units")
        if not 0 <= self.fee_ppm <= FEE_PPM_MAX:
            raise MalformedMessage(f"fee_ppm must be from 0 to {FEE_PPM_MAX}")
        if not 0 <= self.issued < 2**63:
            raise MalformedMessage("issued must be unix seconds")

    def signing_bytes(self) -> bytes:
        """What the holder signs."""
        return frame(
            "AISA-DEPOSIT/1", self.channel, u64(self.deposit), u32(self.fee_ppm), u64(self.issued)
        )
