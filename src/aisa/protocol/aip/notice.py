"""The small signed messages around a channel: opening, closing, a payee's key, a closed lane."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.protocol.frame import frame, u32, u64


def open_bytes(channel: bytes, account_key: bytes) -> bytes:
    """What the payer key signs so that an account may open its channel at a node."""
    return frame("AISA-OPEN/1", channel, account_key)


def close_bytes(channel: bytes) -> bytes:
    """What the payer key signs to ask the payee, or the node, to close a channel."""
    return frame("AISA-CLOSE/1", channel)


def close_lane_bytes(channel: bytes, lane: int) -> bytes:
    """What the payer key signs to ask the payee to close a lane and state its total."""
    return frame("AISA-LANE-CLOSE/1", channel, u32(lane))


def payee_exchange_bytes(x25519: bytes, expiry: int) -> bytes:
    """What the payee signs over its session key; `expiry` in unix seconds."""
    return frame("AISA-PAYEE-X/1", x25519, u64(expiry))


@dataclass(frozen=True, slots=True)
class LaneClosed:
    """The payee's word that `lane` is closed, with `charged` units in total on it."""

    channel: bytes
    lane: int
    charged: int
    signature: bytes = b""

    def signing_bytes(self) -> bytes:
        """What the payee signs."""
        return frame("AISA-LANE-CLOSED/1", self.channel, u32(self.lane), u64(self.charged))
