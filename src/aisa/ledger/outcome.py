"""Commands and their outcomes: refusals are values with one name per cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

from aisa.errors import (
    AisaError,
    IdempotencyMismatch,
    InsufficientFunds,
    InvalidAmount,
    InvalidRequest,
    NotFound,
    StateConflict,
    Unprocessable,
)
from aisa.ledger.account import OpenAccount
from aisa.ledger.record import PutRecord
from aisa.ledger.transfer import Hold, PostHold, Transfer, VoidHold

Operation: TypeAlias = OpenAccount | Transfer | Hold | PostHold | VoidHold | PutRecord
Command: TypeAlias = tuple[Operation, ...]
"""Linked operations: all of them apply, in order, or none."""


class Status(Enum):
    """What became of a command."""

    APPLIED = "applied"
    REPEATED = "repeated"
    """It had been applied before; nothing changed now."""
    REFUSED = "refused"
    """Nothing changed, and nothing of it is kept: it may be tried again later."""


class Reason(IntEnum):
    """Why a command was refused, ordered by precedence: the smallest that applies is given.

    The tens are steps: the whole command is checked for its shape, then for its ids, then applied
    operation by operation, then the floors of all accounts that it debited are checked.
    """

    EMPTY_COMMAND = 10
    TOO_MANY_OPERATIONS = 11
    MALFORMED = 12
    UNITS_OUT_OF_RANGE = 13
    SAME_ACCOUNT = 14
    ID_REUSED = 20
    LINK_CHANGED = 21
    ACCOUNT_DIFFERS = 30
    DEBIT_NOT_FOUND = 31
    CREDIT_NOT_FOUND = 32
    CURRENCY_MISMATCH = 33
    EXPIRY_PASSED = 34
    HOLD_NOT_FOUND = 35
    HOLD_POSTED = 36
    HOLD_VOIDED = 37
    HOLD_EXPIRED = 38
    UNITS_ABOVE_HOLD = 39
    RECORD_CHANGED = 40
    SUM_OVERFLOW = 41
    BELOW_FLOOR = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a command; `reason` only if refused, by the operation at `index`."""

    status: Status
    reason: Reason | None = None
    index: int = 0


APPLIED = Outcome(Status.APPLIED)
REPEATED = Outcome(Status.REPEATED)

_ERRORS: dict[Reason, tuple[type[AisaError], str]] = {
    Reason.EMPTY_COMMAND: (InvalidRequest, "the command has no operation"),
    Reason.TOO_MANY_OPERATIONS: (InvalidRequest, "the command has too many operations"),
    Reason.MALFORMED: (InvalidRequest, "a name, id, text or body is malformed or too long"),
    Reason.UNITS_OUT_OF_RANGE: (InvalidAmount, "units must be from 1 to 2^63-1"),
    Reason.SAME_ACCOUNT: (InvalidRequest, "debit and credit are the same account"),
    Reason.ID_REUSED: (IdempotencyMismatch, "the id was used before with another body"),
    Reason.LINK_CHANGED: (
        IdempotencyMismatch,
        "the id was used before, linked to other operations",
    ),
    Reason.ACCOUNT_DIFFERS: (IdempotencyMismatch, "the account is open in another way"),
    Reason.DEBIT_NOT_FOUND: (NotFound, "the account to debit is not open"),
    Reason.CREDIT_NOT_FOUND: (NotFound, "the account to credit is not open"),
    Reason.CURRENCY_MISMATCH: (InvalidRequest, "an account holds another currency"),
    Reason.EXPIRY_PASSED: (InvalidRequest, "the hold would have expired already"),
    Reason.HOLD_NOT_FOUND: (NotFound, "there is no such hold"),
    Reason.HOLD_POSTED: (StateConflict, "the hold was posted"),
    Reason.HOLD_VOIDED: (StateConflict, "the hold was voided"),
    Reason.HOLD_EXPIRED: (StateConflict, "the hold has expired"),
    Reason.UNITS_ABOVE_HOLD: (StateConflict, "more units than the hold set aside"),
    Reason.RECORD_CHANGED: (StateConflict, "the record is at another version"),
    Reason.SUM_OVERFLOW: (Unprocessable, "the account's sums would pass 2^63-1"),
    Reason.BELOW_FLOOR: (InsufficientFunds, "the account does not hold the amount"),
}


def refusal_error(outcome: Outcome) -> AisaError | None:
    """Return the error that stands for a refusal, or None if the command stands."""
    if outcome.reason is None:
        return None
    cls, detail = _ERRORS[outcome.reason]
    return cls(detail, reason=outcome.reason.name, operation=outcome.index)


def require_applied(outcome: Outcome) -> None:
    """Return if the command stands (applied now or before).

    Raises:
        InsufficientFunds: a debited account would fall below its floor.
        IdempotencyMismatch: an id was used before with another body.
        StateConflict: a hold or record is not in the state that the command expects.
        NotFound: an account or hold does not exist.
        InvalidRequest: the command can never be applied.
        Unprocessable: an account's sums would overflow.
    """
    error = refusal_error(outcome)
    if error is not None:
        raise error
