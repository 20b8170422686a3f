"""Moves that the dance's tests share: refuse, lose, die."""

from __future__ import annotations

from collections.abc import Callable

from aisa.errors import AisaError, StateConflict
from aisa.sdk import Agent
from aisa.sdk.step import Lost, Reply, Send
from tests.unit.sdk.market import ORIGIN, PRICE, SellerSim

Make = Callable[..., Agent]
URL = ORIGIN + "/hello"
STEP = 100 * PRICE
"""The slice in use and the one that is leased ahead are one ceiling step."""


def refuse_with(seller: SellerSim, error: AisaError) -> Callable[[Send], Reply]:
    return lambda _: seller.refuse(error)


def lose(request: Send) -> Lost:
    return Lost(is_sent=False, reason="gone")


def lose_answer(seller: SellerSim) -> Callable[[Send], Lost]:
    def trick(request: Send) -> Lost:
        seller.serve(request)
        return Lost(is_sent=True, reason="cut")

    return trick


def die(agent: Agent) -> None:
    """End an agent as a killed process ends: nothing is parked, the lock is let go."""
    agent._driver.settle(5)
    agent._purse.wallet._instance.close()
    agent._purse.wallet._db.close()
    agent._purse.fault = StateConflict("dead")
