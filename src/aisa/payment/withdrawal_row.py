"""What the ledger keeps of a withdrawal: enough to finish it from this row alone."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from aisa.client.message import WithdrawalState
from aisa.ledger.record import PutRecord, Record
from aisa.payment import names
from aisa.payment.pages import owned_id


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRow:
    """A withdrawal in ledger units; `token_units` is what the rail sends.

    `network_fee_units` is set aside for a network that takes its fee in the same token, and becomes
    what it took; `fee_units` is ours.
    """

    id: str
    key: bytes
    asset: str
    currency: str
    units: int
    token_units: int
    fee_units: int
    network_fee_units: int
    destination: str
    state: WithdrawalState = WithdrawalState.PENDING
    reference: str | None = None
    reason: str | None = None

    @property
    def send_id(self) -> str:
        """The id under which the rail sends, and the prefix of the ledger's ids."""
        return names.scoped_id("withdrawal", self.key, self.id)

    @property
    def record_id(self) -> str:
        """The id of its record."""
        return owned_id(self.key, self.id)

    @property
    def is_open(self) -> bool:
        """Whether its outcome is still to be found."""
        return self.state in {WithdrawalState.PENDING, WithdrawalState.UNKNOWN}

    def put(self, expected_version: int) -> PutRecord:
        """Return the operation that writes this row."""
        body = msgspec.json.encode(self)
        return PutRecord(names.WITHDRAWAL, self.record_id, expected_version, body)


@dataclass(frozen=True, slots=True)
class StoredWithdrawal:
    """A withdrawal's row, its record's version, and when it was last written."""

    row: WithdrawalRow
    version: int
    at_ms: int


def withdrawal_in(record: Record) -> StoredWithdrawal:
    """Return the withdrawal in a record."""
    row = msgspec.json.decode(record.body, type=WithdrawalRow)
    return StoredWithdrawal(row, record.version, record.at_ms)
