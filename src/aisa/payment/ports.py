"""What payment asks of rooms above it: may this be spent, and over which rail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aisa.errors import NotFound
from aisa.settlement.rail import Rail


@dataclass(frozen=True, slots=True)
class Spend:
    """Money about to leave an account; `purpose` is channel or withdrawal."""

    key: bytes
    purpose: str
    currency: str
    units: int
    counterparty: str


class SpendGuard(Protocol):
    """Judges a spend before it is committed."""

    async def check(self, spend: Spend) -> None:
        """Return if it may happen.

        Raises:
            NotAllowed: a rule forbids it.
        """
        ...


class RouteChooser(Protocol):
    """Chooses the rail that carries a withdrawal."""

    def choose(self, asset: str, rails: Sequence[Rail]) -> Rail:
        """Return one of `rails`.

        Raises:
            NotFound: none carries the asset.
        """
        ...


class AllowAll:
    """The guard of a node without rules: the balance is the only bound."""

    async def check(self, spend: Spend) -> None:
        """Allow it."""


class FirstRail:
    """Takes the first rail that carries the asset; an asset has one network today."""

    def choose(self, asset: str, rails: Sequence[Rail]) -> Rail:
        """Return the first rail with the asset."""
        for rail in rails:
            if any(token.asset == asset for token in rail.tokens):
                return rail
        raise NotFound(f"no network of this node carries {asset}")
