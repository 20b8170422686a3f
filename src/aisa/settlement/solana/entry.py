"""What the journal keeps of one send: the signed bytes, and until when they can land."""

from __future__ import annotations

import msgspec

from aisa.errors import LedgerCorrupt
from aisa.settlement.rail import Failed, FailureReason, Outcome, Outgoing, Settled, Unknown

_VERSION = 1


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One signed chain tx. `debits` are the units that it takes from each token account of ours.

    `state` is open, settled, or a failure's reason; once it is not open it never changes.
    """

    version: int = _VERSION
    asset: str
    units: int
    destination: str
    signature: str
    raw: bytes
    last_valid_block_height: int
    signed_at_slot: int
    debits: dict[str, int]
    state: str = "open"
    detail: str = ""

    def is_for(self, outgoing: Outgoing) -> bool:
        """Whether the entry is of this payment, and not of another under its id."""
        ours = (self.asset, self.units, self.destination)
        return ours == (outgoing.token.asset, outgoing.units, outgoing.destination)

    def outcome(self) -> Outcome:
        """What is known of it."""
        if self.state == "open":
            return Unknown(self.signature)
        if self.state == "settled":
            return Settled(self.signature)
        return Failed(FailureReason(self.state), self.detail, self.signature)

    def closed(self, outcome: Settled | Failed) -> Entry:
        """The same entry with its final outcome."""
        if isinstance(outcome, Settled):
            return msgspec.structs.replace(self, state="settled")
        return msgspec.structs.replace(self, state=str(outcome.reason), detail=outcome.detail)

    def to_bytes(self) -> bytes:
        """The journal's body."""
        return msgspec.json.encode(self)


def parse_entry(id: str, body: bytes) -> Entry:  # noqa: A002 - the port's word
    """Read a journal's body.

    Raises:
        LedgerCorrupt: it was not written by this rail.
    """
    try:
        entry = msgspec.json.decode(body, type=Entry)
    except msgspec.DecodeError as error:
        raise LedgerCorrupt(f"the send journal's entry {id} is not readable") from error
    if entry.version != _VERSION:
        raise LedgerCorrupt(f"the send journal's entry {id} has version {entry.version}")
    return entry
