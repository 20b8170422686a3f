"""Accounts, transfers and holds: the rules, the store's port and its engines.

The room promises that debits equal credits, that nothing is acknowledged before it is durable, and
that whoever repeats an id gets the first answer. It imports nothing of AISA but errors and faults;
engines (`aisa.ledger.sqlite`) are named by the node alone.
"""

from aisa.ledger.account import Account, Balance, Floor, OpenAccount
from aisa.ledger.outcome import (
    Command,
    Operation,
    Outcome,
    Reason,
    Status,
    require_applied,
)
from aisa.ledger.record import PutRecord, Record
from aisa.ledger.store import BadRow, Clock, Store, VerifyReport
from aisa.ledger.transfer import (
    Entry,
    EntryKind,
    Hold,
    HoldState,
    HoldStatus,
    PostHold,
    Transfer,
    VoidHold,
)

__all__ = [
    "Account",
    "BadRow",
    "Balance",
    "Clock",
    "Command",
    "Entry",
    "EntryKind",
    "Floor",
    "Hold",
    "HoldState",
    "HoldStatus",
    "OpenAccount",
    "Operation",
    "Outcome",
    "PostHold",
    "PutRecord",
    "Reason",
    "Record",
    "Status",
    "Store",
    "Transfer",
    "VerifyReport",
    "VoidHold",
    "require_applied",
]
