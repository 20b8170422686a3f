"""Nothing appears and nothing vanishes: the sums over a chain before and after, asset by asset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Holding:
    """What one account on a chain held; `role` says whose it is, `asset` is a CAIP-19 name."""

    network: str
    account: str
    role: str
    asset: str
    units: int


@dataclass(frozen=True, slots=True)
class Mint:
    """Units that an issuer made, by its own record."""

    asset: str
    units: int


@dataclass(frozen=True, slots=True)
class ChainFee:
    """What one chain tx cost, in lamports of the network's native asset."""

    tx: str
    lamports: int


@dataclass(frozen=True, slots=True)
class AssetSum:
    """One asset's sums; conserved if what there was and came equals what there is and was paid."""

    asset: str
    before: int
    minted: int
    after: int
    fees: int

    @property
    def is_conserved(self) -> bool:
        """Whether before + minted = after + fees."""
        return self.before + self.minted == self.after + self.fees


def asset_sums(
    before: Iterable[Holding],
    after: Iterable[Holding],
    mints: Iterable[Mint],
    fees: Iterable[ChainFee],
    *,
    native: str,
) -> list[AssetSum]:
    """Add up each asset; chain fees are paid in the asset `native`."""
    was, came, stays = Counter[str](), Counter[str](), Counter[str]()
    for holding in before:
        was[holding.asset] += holding.units
    for mint in mints:
        came[mint.asset] += mint.units
    for holding in after:
        stays[holding.asset] += holding.units
    paid = sum(fee.lamports for fee in fees)
    return [
        AssetSum(asset, was[asset], came[asset], stays[asset], paid if asset == native else 0)
        for asset in sorted({*was, *came, *stays})
    ]
