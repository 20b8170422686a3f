"""Ways to settle over networks: the `Rail` port, and one folder for each network's adapter.

A rail moves tokens and says what it knows. It keeps no accounts: who is credited or charged is
decided in `payment`, which marries rails with the ledger. Concrete rails are named only where a
node is assembled.
"""

from aisa.settlement.pull import Pull, PullCheck, PullProblem, SignedTransfer
from aisa.settlement.rail import (
    Clock,
    Conditions,
    Deposit,
    DepositAddresses,
    DepositRequest,
    Failed,
    FailureReason,
    Incoming,
    Liquidity,
    NetworkFee,
    Outcome,
    Outgoing,
    Rail,
    RailQuote,
    SendJournal,
    Settled,
    Unknown,
)

__all__ = [
    "Clock",
    "Conditions",
    "Deposit",
    "DepositAddresses",
    "DepositRequest",
    "Failed",
    "FailureReason",
    "Incoming",
    "Liquidity",
    "NetworkFee",
    "Outcome",
    "Outgoing",
    "Pull",
    "PullCheck",
    "PullProblem",
    "Rail",
    "RailQuote",
    "SendJournal",
    "Settled",
    "SignedTransfer",
    "Unknown",
]
