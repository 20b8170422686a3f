"""The network of the memory rail: balances, a log of what landed, and settable weather."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aisa.errors import RailError, RailUnavailable
from aisa.money import Token
from aisa.settlement.rail import Clock


@dataclass(frozen=True, slots=True)
class Payment:
    """Units from one address to another; it lands once, and not after `valid_until_ms`."""

    reference: str
    source: str
    destination: str
    token: Token
    units: int
    valid_until_ms: int


@dataclass(frozen=True, slots=True)
class Landing:
    """A payment that landed; `error` says why it moved nothing."""

    payment: Payment
    fee_units: int
    landed_at_ms: int
    error: str


class MemoryNetwork:
    """Balances by address and token, shared by every rail and payer on it.

    Settable: `delay_s` before an answer, `fee_units` of the token sent, `finality_ms`,
    `validity_ms` for which a payment may still land, `is_down`; and counters of the next sends
    that are `refusals` (land, fail, pay the fee), `lost_answers` (land, but nobody hears of it),
    `drops` (vanish) or `delays` (land when `land_delayed` is called).
    """

    def __init__(self, clock: Clock, *, name: str = "aisa:memory") -> None:
        self.name = name
        self.clock = clock
        self.delay_s = 0.0
        self.fee_units = 0
        self.finality_ms = 0
        self.validity_ms = 60_000
        self.is_down = False
        self.refusals = 0
        self.lost_answers = 0
        self.drops = 0
        self.delays = 0
        self.landings: list[Landing] = []
        self._by_reference: dict[str, Landing] = {}
        self._balances: dict[tuple[str, Token], int] = {}
        self._delayed: list[Payment] = []

    def balance(self, address: str, token: Token) -> int:
        """An address's units of a token."""
        return self._balances.get((address, token), 0)

    def mint(self, address: str, token: Token, units: int) -> None:
        """Make units from nothing, without a landing."""
        self._balances[address, token] = self.balance(address, token) + units

    def pay(self, source: str, destination: str, token: Token, units: int) -> str:
        """Move units between two addresses outside any node; returns the reference.

        Raises:
            RailError: the source does not hold them.
        """
        if self.balance(source, token) < units:
            raise RailError(f"{source} holds less than {units}")
        reference = f"outside-{len(self.landings)}"
        self._land(Payment(reference, source, destination, token, units, self.clock()), 0)
        return reference

    async def submit(self, payment: Payment) -> None:
        """Carry a payment.

        Raises:
            RailUnavailable: the network does not answer (it may have taken the payment).
        """
        await self.answer()
        if self.knows(payment.reference) or self._take("drops"):
            return
        if self._take("delays"):
            self._delayed.append(payment)
            return
        error = "refused by the network" if self._take("refusals") else ""
        self._land(payment, self.fee_units, error)
        if self._take("lost_answers"):
            raise RailUnavailable("the answer was lost")

    async def find(self, reference: str) -> Landing | None:
        """A landing that is final, by its reference.

        Raises:
            RailUnavailable: the network does not answer.
        """
        await self.answer()
        landing = self._by_reference.get(reference)
        return landing if landing is not None and self.is_final(landing) else None

    async def answer(self) -> None:
        """Take the network's time to answer.

        Raises:
            RailUnavailable: it is down.
        """
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.is_down:
            raise RailUnavailable(f"{self.name} is down")

    def knows(self, reference: str) -> bool:
        """Whether a reference has landed, final or not."""
        return reference in self._by_reference

    def is_final(self, landing: Landing) -> bool:
        """Whether a landing can no longer be undone."""
        return self.clock() - landing.landed_at_ms >= self.finality_ms

    def land_delayed(self) -> None:
        """Land what a `delays` counter held back."""
        delayed, self._delayed = self._delayed, []
        for payment in delayed:
            if not self.knows(payment.reference):
                self._land(payment, self.fee_units)

    def _land(self, payment: Payment, fee_units: int, error: str = "") -> None:
        if self.clock() > payment.valid_until_ms:
            return
        source, token = payment.source, payment.token
        held = self.balance(source, token)
        if not error and held < payment.units + fee_units:
            error = "the source does not hold the units and the fee"
        moved = 0 if error else payment.units
        fee_units = min(fee_units, held - moved)
        self._balances[source, token] = held - moved - fee_units
        self.mint(payment.destination, token, moved)
        landing = Landing(payment, fee_units, self.clock(), error)
        self.landings.append(landing)
        self._by_reference[payment.reference] = landing

    def _take(self, counter: str) -> bool:
        left: int = getattr(self, counter)
        if left > 0:
            setattr(self, counter, left - 1)
        return left > 0
