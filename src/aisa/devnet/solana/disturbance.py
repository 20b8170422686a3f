"""Faults that a test arms on the devnet, so that doubtful outcomes happen on demand.

Each is counted down by the calls that it disturbs; nothing is random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

FaultName = Literal["drop", "lose_answer", "refuse", "land_with_error", "delay", "stale_blockhash"]
FAULT_NAMES: tuple[str, ...] = get_args(FaultName)


@dataclass(slots=True)
class Disturbance:
    """How many of the next calls each fault still disturbs.

    - `drop`: the send is answered with its signature and forgotten.
    - `lose_answer`: the send is carried out, its caller gets a broken answer.
    - `refuse`: the send is answered with an internal error and forgotten.
    - `land_with_error`: it runs while its token accounts are frozen: it lands, fails, pays its fee.
    - `delay`: it lands `delay_slots` later.
    - `stale_blockhash`: the next blockhash given out has just expired.
    """

    drop: int = 0
    lose_answer: int = 0
    refuse: int = 0
    land_with_error: int = 0
    delay: int = 0
    stale_blockhash: int = 0
    delay_slots: int = 8

    def arm(self, name: FaultName, count: int) -> None:
        """Disturb the next `count` calls of the kind that `name` speaks of."""
        setattr(self, name, count)

    def take(self, name: FaultName) -> bool:
        """Whether this call is disturbed; counts it."""
        left: int = getattr(self, name)
        if left <= 0:
            return False
        setattr(self, name, left - 1)
        return True
