"""What an operator may set on a Solana rail."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.errors import ConfigInvalid

LEVELS = ("processed", "confirmed", "finalized")


@dataclass(frozen=True, slots=True)
class SolanaSettings:
    """Pace and limits.

    `finality` is the commitment at which deposits count and outcomes are told; `expiry_margin` is
    how many blocks beyond its last valid one a chain tx is still waited for; the priority price
    is in millionths of a lamport per compute unit.

    Raises:
        ConfigInvalid: a value cannot work.
    """

    finality: str = "finalized"
    finality_time_s: int = 13
    send_timeout_s: float = 20.0
    poll_s: float = 0.25
    rebroadcast_s: float = 2.0
    expiry_margin: int = 32
    overlap_slots: int = 64
    priority_price_max: int = 100_000

    def __post_init__(self) -> None:
        if self.finality not in {"confirmed", "finalized"}:
            raise ConfigInvalid("finality is confirmed or finalized")
        if self.expiry_margin < 0 or self.overlap_slots < 0 or self.poll_s <= 0:
            raise ConfigInvalid("a Solana setting is negative")

    def is_final(self, level: str | None) -> bool:
        """Whether a commitment level is high enough."""
        if level not in LEVELS:
            return False
        return LEVELS.index(level) >= LEVELS.index(self.finality)
