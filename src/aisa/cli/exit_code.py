"""Exit codes: one table from error class to code, for scripts and agents to branch on."""

from __future__ import annotations

from typing import Final

from aisa import errors

DONE: Final = 0
NOT_HELD: Final = 1
USAGE: Final = 2
UNEXPECTED: Final = 70
INTERRUPTED: Final = 130

BY_CLASS: Final[dict[type[errors.AisaError], int]] = {
    errors.InvalidRequest: USAGE,
    errors.Unauthenticated: 3,
    errors.PaymentRequired: 4,
    errors.NotAllowed: 5,
    errors.NotFound: 6,
    errors.Conflict: 7,
    errors.Unprocessable: 8,
    errors.Throttled: 9,
    errors.Internal: 10,
    errors.RailError: 11,
    errors.OutcomeUnknown: 12,
    errors.NodeUnavailable: 13,
}

MEANINGS: Final[dict[int, str]] = {
    DONE: "done",
    NOT_HELD: "the command ran, and what it checked does not hold (`demo`, `doctor`), or the answer that "
    "`pay` got is an error",
    USAGE: "an option, argument, setting or amount is wrong; or packages are missing",
    3: "the node or seller does not accept who signed",
    4: "the call is paid, and the payment was refused",
    5: "a rule forbids it: budget, `--max`, redirect, no common node, forged receipt",
    6: "there is no such thing",
    7: "it contradicts what is recorded, or another process owns the file",
    8: "the account does not hold the amount, or a cap is reached",
    9: "too many requests, or too large",
    10: "a promise of ours is broken: ledger, solvency; an operator must look",
    11: "a network refused or cannot be reached; nothing was sent",
    12: "something was sent and its outcome is unknown: look it up, do not send again",
    13: "the node does not answer; nothing was decided",
    UNEXPECTED: "an error that nobody foresaw; `AISA_DEBUG=1` shows where",
    INTERRUPTED: "interrupted by Ctrl-C or SIGTERM; what was started has been stopped",
}


def exit_code_of(error: errors.AisaError) -> int:
    """The code of the nearest class in the table."""
    return next((BY_CLASS[cls] for cls in type(error).__mro__ if cls in BY_CLASS), NOT_HELD)
