"""Solvency: what the node owes, compared with what its rails hold, token by token.

A shortfall stops withdrawals. More than owed is no alarm: a deposit may be final and not yet
credited, and anyone may send us more than they should.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from aisa.client.message import CurrencyLiability, Holding, SolvencyInfo
from aisa.ledger.store import Store
from aisa.money import Token
from aisa.payment import names
from aisa.payment.terms import TermsTable
from aisa.settlement.rail import Rail

LOOKS: Final = 3
"""A shortfall counts if it shows in so many looks: money moves between two readings."""

_log = logging.getLogger("aisa.solvency")


class Solvency:
    """Keeps the last comparison, and whether withdrawals are halted by it."""

    def __init__(
        self,
        store: Store,
        terms: TermsTable,
        rails: Sequence[Rail],
        *,
        clock: Callable[[], int],
        pause_s: float = 0.5,
    ) -> None:
        self._store = store
        self._terms = terms
        self._rails = rails
        self._clock = clock
        self._pause_s = pause_s
        self._last: SolvencyInfo | None = None

    @property
    def is_halted(self) -> bool:
        """Whether the last comparison found a shortfall."""
        return self._last is not None and not self._last.solvent

    @property
    def last(self) -> SolvencyInfo | None:
        """The last comparison; None before the first."""
        return self._last

    async def check(self) -> SolvencyInfo:
        """Compare now.

        Raises:
            RailUnavailable: a network does not answer; what was known stays.
        """
        looked = await self._look()
        for _ in range(LOOKS - 1):
            if looked.solvent:
                break
            await asyncio.sleep(self._pause_s)
            looked = await self._look()
        if not looked.solvent:
            short = [f"{one.short} of {one.asset}" for one in looked.holdings if one.short]
            _log.critical(
                "SOLVENCY ALARM: withdrawals are stopped, short %s", ", ".join(short) or "books"
            )
        elif self.is_halted:
            _log.warning("holdings cover what is owed again: withdrawals go on")
        self._last = looked
        return looked

    async def _look(self) -> SolvencyInfo:
        held = [(rail, await rail.holdings()) for rail in self._rails]
        holdings = [
            await self._holding(token, units.get(token, 0))
            for rail, units in held
            for token in rail.tokens
        ]
        codes = [terms.currency.code for terms in self._terms.all]
        balanced = [await self._is_balanced(code) for code in codes]
        solvent = all(balanced) and not any(one.short for one in holdings)
        liabilities = [await self._liability(code) for code in codes]
        return SolvencyInfo(solvent, solvent, self._clock(), tuple(holdings), tuple(liabilities))

    async def _holding(self, token: Token, held: int) -> Holding:
        scale = self._terms.of(token.currency).currency.scale
        balance = await self._store.balance(names.outside(token))
        dust = (await self._store.balance(names.dust(token))).units
        owed = token.from_ledger(max(0, -balance.units), scale) + dust
        # What is set aside for sending may have left already: until then it is neither here nor there.
        outgoing = token.from_ledger(balance.credits_pending, scale)
        short = max(0, owed - outgoing - held)
        return Holding(token.asset, token.currency, owed, held, outgoing, short)

    async def _is_balanced(self, code: str) -> bool:
        """Whether all accounts of a currency add up to nothing, as double entry promises."""
        return (await self._store.total("", code)).units == 0

    async def _liability(self, code: str) -> CurrencyLiability:
        accounts = (await self._store.total(names.CUSTOMERS, code)).units
        channels = (await self._store.total(names.CHANNELS, code)).units
        fees = (await self._store.balance(names.fees(code))).units
        held = (await self._store.balance(names.suspense(code))).units
        return CurrencyLiability(code, accounts + channels, fees, held)
