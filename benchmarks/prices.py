"""The assumed prices of settling, from prices.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

LAMPORTS_PER_SOL = 10**9
PATH = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True, slots=True)
class SolanaPrices:
    """What a chain tx on Solana costs beyond its base fee, and what that is in dollars."""

    assumed_on: str
    priority_lamports: int
    usd_per_sol: float

    @classmethod
    def load(cls) -> Self:
        document = tomllib.loads(PATH.read_text())
        return cls(document["assumed_on"], **document["solana"])

    def usd_of(self, lamports: int) -> float:
        return lamports / LAMPORTS_PER_SOL * self.usd_per_sol
