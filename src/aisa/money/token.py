"""Tokens: what the node holds on a network."""

from __future__ import annotations

from dataclasses import dataclass

from aisa.errors import InvalidAmount, InvalidRequest
from aisa.money.units import check_units


@dataclass(frozen=True, slots=True)
class Token:
    """One issuer's asset on one network, and the currency that its holders are credited in.

    `network` is a CAIP-2 name, `asset` a CAIP-19 id that starts with it, `scale` the digits after
    the point on that network.

    Raises:
        InvalidRequest: the asset is not on the network, or the scale not from 0 to 36.
    """

    symbol: str
    issuer: str
    network: str
    asset: str
    scale: int
    currency: str

    def __post_init__(self) -> None:
        if not self.asset.startswith(self.network + "/"):
            raise InvalidRequest(f"asset {self.asset[:80]!r} is not on network {self.network!r}")
        if not 0 <= self.scale <= 36:
            raise InvalidRequest(f"token scale {self.scale} is not from 0 to 36")

    @property
    def reference(self) -> str:
        """The part of the CAIP-19 id after the last colon: a mint or contract address."""
        return self.asset.rpartition(":")[2]

    def from_ledger(self, units: int, ledger_scale: int) -> int:
        """Return token units for ledger units.

        Raises:
            InvalidAmount: the token is coarser than the amount.
        """
        check_units(units)
        if self.scale >= ledger_scale:
            return units * 10 ** (self.scale - ledger_scale)
        whole, dust = divmod(units, 10 ** (ledger_scale - self.scale))
        if dust:
            raise InvalidAmount(f"{self.symbol} has only {self.scale} digits after the point")
        return whole

    def to_ledger(self, units: int, ledger_scale: int) -> tuple[int, int]:
        """Return (ledger units, dust in token units) for token units."""
        if self.scale <= ledger_scale:
            return check_units(units * 10 ** (ledger_scale - self.scale)), 0
        whole, dust = divmod(units, 10 ** (self.scale - ledger_scale))
        return check_units(whole), dust
