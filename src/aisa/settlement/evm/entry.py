"""What the journal keeps of one chain tx of ours: every signed version of it, all with one nonce."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from aisa.errors import LedgerCorrupt
from aisa.settlement.evm.answer import Log, Receipt, data_bytes, word
from aisa.settlement.evm.chain_tx import ChainTx, Price
from aisa.settlement.evm.erc20 import TRANSFER_TOPIC, topic_address
from aisa.settlement.rail import Failed, FailureReason, Outcome, Settled, Unknown

_VERSION = 1
_CANCEL_GAS = 100_000


class Move(msgspec.Struct, frozen=True):
    """A movement of tokens that a receipt must show before we call it done; units as digits."""

    token: bytes
    source: bytes
    target: bytes
    units: str

    def is_in(self, receipt: Receipt) -> bool:
        """Whether a receipt shows exactly this."""
        return any(self._is(log) for log in receipt.logs)

    def _is(self, log: Log) -> bool:
        if len(log.topics) != 3 or log.topics[0] != TRANSFER_TOPIC:
            return False
        return (
            data_bytes(log.address) == self.token
            and log.topics[1] == topic_address(self.source)
            and log.topics[2] == topic_address(self.target)
            and word(log.data) == int(self.units)
        )


@dataclass(frozen=True, slots=True)
class Call:
    """What a chain tx is for, and what it does.

    Purpose, asset, units and destination tell whether a repeated id means the same.
    """

    purpose: str
    to: bytes
    data: bytes = b""
    value_wei: int = 0
    asset: str = ""
    units: int = 0
    destination: str = ""
    move: Move | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One signed version; a cancelling one does nothing but use the nonce."""

    raw: bytes
    hash: str
    fee_wei: int
    tip_wei: int
    at_ms: int
    is_cancel: bool = False

    @property
    def price(self) -> Price:
        """What it offers."""
        return Price(self.fee_wei, self.tip_wei)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One intent and its nonce. Big numbers are digits, since JSON's end at 64 bits.

    `state` is open, settled, or a failure's reason; once it is not open it never changes.
    """

    version: int = _VERSION
    purpose: str
    asset: str
    units: str
    destination: str
    nonce: int
    to: bytes
    data: bytes
    value_wei: str
    gas: int
    signed_at_height: int
    move: Move | None
    attempts: tuple[Attempt, ...]
    state: str = "open"
    reference: str = ""
    detail: str = ""

    @classmethod
    def of(cls, call: Call, tx: ChainTx, signed_at_height: int, attempt: Attempt) -> Entry:
        """The entry of a chain tx that was just signed for the first time."""
        return cls(
            purpose=call.purpose,
            asset=call.asset,
            units=str(call.units),
            destination=call.destination,
            nonce=tx.nonce,
            to=tx.to,
            data=tx.data,
            value_wei=str(tx.value_wei),
            gas=tx.gas,
            signed_at_height=signed_at_height,
            move=call.move,
            attempts=(attempt,),
        )

    @property
    def is_open(self) -> bool:
        """Whether its outcome is not known yet."""
        return self.state == "open"

    @property
    def newest(self) -> Attempt:
        """The version that replaces all before it."""
        return self.attempts[-1]

    @property
    def cost_wei_max(self) -> int:
        """What the sender may have to pay for it."""
        return max(self.gas, _CANCEL_GAS) * self.newest.fee_wei + int(self.value_wei)

    def is_for(self, call: Call) -> bool:
        """Whether the entry is of this intent, and not of another under its id."""
        ours = (self.purpose, self.asset, self.units, self.destination)
        return ours == (call.purpose, call.asset, str(call.units), call.destination)

    def is_done_by(self, receipt: Receipt) -> bool:
        """Whether a receipt shows the movement that the entry is for, if it is for one."""
        return self.move is None or self.move.is_in(receipt)

    def tx(self, chain_id: int, price: Price, own: bytes, *, is_cancel: bool) -> ChainTx:
        """The chain tx to sign for a further attempt."""
        if is_cancel:
            return ChainTx(chain_id, self.nonce, own, b"", 0, _CANCEL_GAS, price)
        value_wei = int(self.value_wei)
        return ChainTx(chain_id, self.nonce, self.to, self.data, value_wei, self.gas, price)

    def with_attempt(self, attempt: Attempt) -> Entry:
        """The same entry with one more version."""
        return msgspec.structs.replace(self, attempts=(*self.attempts, attempt))

    def outcome(self) -> Outcome:
        """What is known of it."""
        if self.is_open:
            return Unknown(self.newest.hash)
        if self.state == "settled":
            return Settled(self.reference)
        return Failed(FailureReason(self.state), self.detail, self.reference or None)

    def closed(self, outcome: Settled | Failed) -> Entry:
        """The same entry with its final outcome."""
        if isinstance(outcome, Settled):
            return msgspec.structs.replace(self, state="settled", reference=outcome.reference)
        return msgspec.structs.replace(
            self,
            state=str(outcome.reason),
            reference=outcome.reference or "",
            detail=outcome.detail,
        )

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
    if entry.version != _VERSION or not entry.attempts:
        raise LedgerCorrupt(f"the send journal's entry {id} is of another version")
    return entry
