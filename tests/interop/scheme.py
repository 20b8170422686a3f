"""The ways to pay that are tried: what each moves, and at which addresses a seller sells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tests.interop.outcome import REFUSALS

UNITS: Final = 100
"""$0.0001 of a token with six decimals."""

DEAR_UNITS: Final = 250


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way to pay, by which dialect it is spoken and which token of the devnet it moves."""

    name: str
    dialect: Literal["x402", "mpp"]
    path: str
    token: str
    refusals: tuple[str, ...] = REFUSALS

    @property
    def twin_path(self) -> str:
        """Another address of the seller, at the same price."""
        return f"{self.path}-twin"

    @property
    def dear_path(self) -> str:
        """Another address of the seller, at another price."""
        return f"{self.path}-dear"


EXACT: Final = Scheme("exact", "x402", "/exact", "test-USDC")
PERMIT2: Final = Scheme("exact permit2", "x402", "/permit2", "test-USDT")
BATCH: Final = Scheme(
    "batch-settlement",
    "x402",
    "/batch",
    "test-USDC",
    tuple(name for name in REFUSALS if name != "expired"),
)
CHARGE: Final = Scheme("mpp charge", "mpp", "/charge", "test-USDC")
SCHEMES: Final = (EXACT, PERMIT2, BATCH, CHARGE)
