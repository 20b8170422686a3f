"""Accounts: holders of one currency, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Floor(IntEnum):
    """How low an account may go."""

    NOT_NEGATIVE = 0
    """Customers, channels, fees: what is available never falls below zero."""
    NONE = 1
    """The world outside (`network:…`): its balance is minus what came in from there."""


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Open an account; opening it again in the same way changes nothing."""

    account: str
    currency: str
    floor: Floor


@dataclass(frozen=True, slots=True)
class Account:
    """An open account. Its currency and floor never change, and it is never deleted."""

    name: str
    currency: str
    floor: Floor
    opened_ms: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The four sums of an account, in its currency's smallest unit."""

    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int

    @property
    def units(self) -> int:
        """What the account holds: posted credits less posted debits."""
        return self.credits_posted - self.debits_posted

    @property
    def available(self) -> int:
        """What it may spend: `units` less what open holds have set aside."""
        return self.credits_posted - self.debits_posted - self.debits_pending


EMPTY = Balance(0, 0, 0, 0)
