"""Pegs: which tokens redeem one to one for a currency, and up to what exposure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aisa.errors import InvalidRequest, NotAllowed
from aisa.money.token import Token


@dataclass(frozen=True, slots=True)
class Peg:
    """One token accepted at par for its currency; `exposure_units_max` caps what the node holds."""

    token: Token
    exposure_units_max: int


class PegTable:
    """The operator's list of pegs, looked up by CAIP-19 asset.

    Raises:
        InvalidRequest: an asset is listed twice.
    """

    def __init__(self, pegs: Iterable[Peg]) -> None:
        self._by_asset: dict[str, Peg] = {}
        for peg in pegs:
            if peg.token.asset in self._by_asset:
                raise InvalidRequest(f"asset {peg.token.asset} is pegged twice")
            self._by_asset[peg.token.asset] = peg

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Every pegged token, in the order of configuration."""
        return tuple(peg.token for peg in self._by_asset.values())

    def at_par(self, asset: str, currency: str) -> Peg:
        """Return the peg of an asset to a currency.

        Raises:
            NotAllowed: the asset is not pegged to this currency; it would need a rate.
        """
        peg = self._by_asset.get(asset)
        if peg is None or peg.token.currency != currency:
            raise NotAllowed(f"{asset} does not redeem one to one for {currency}")
        return peg
