"""One tick under way: what pays for a call, and what came of it."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from hashlib import sha256
from hmac import compare_digest
from typing import Final

import msgspec

from aisa.channel.payer_lane import LaneMeter
from aisa.channel.wallet import CallState, WalletCall, WalletReceipt
from aisa.errors import MalformedMessage, ReceiptInvalid
from aisa.identity import SessionKeys
from aisa.money import Amount, Currency
from aisa.protocol import base64url
from aisa.protocol.aip.field import parse_units_text
from aisa.protocol.aip.receipt import NO_DIGEST, ReceiptLeaf
from aisa.sdk.answer import Outcome, Payment
from aisa.sdk.call import Call
from aisa.sdk.purse import Till
from aisa.sdk.step import Reply

RECEIPT: Final = "payment-receipt"
RECEIPT_CHARS_MAX: Final = 1024


class _ReceiptJson(msgspec.Struct, frozen=True, gc=False):
    status: str
    method: str
    reference: str
    channel: str
    charged: str
    mac: str


_decoder: Final = msgspec.json.Decoder(_ReceiptJson)


class Ticket(msgspec.Struct, eq=False):
    """A tick, and what is needed to repeat it, to check its receipt and to return its amount.

    `till` and `meter` are None for a tick that another process made.
    """

    channel: bytes
    payee: bytes
    currency: Currency
    session: bytes
    keys: SessionKeys
    lane: int
    seq: int
    amount: int
    tick: str
    till: Till | None = None
    meter: LaneMeter | None = None
    voucher: str = ""
    covers: int = 0
    is_sent: bool = False
    is_over: bool = False
    tries: int = 0
    waits: int = 0

    def headers(self) -> dict[str, str]:
        """Return the payment headers."""
        if self.voucher:
            return {"Payment-Tick": self.tick, "Payment-Voucher": self.voucher}
        return {"Payment-Tick": self.tick}

    def show_voucher(self) -> bool:
        """Carry the newest voucher from now on; False if it is carried already."""
        meter = self.meter
        if meter is None or not meter.voucher or meter.voucher == self.voucher:
            return False
        self.voucher, self.covers = meter.voucher, meter.leased
        return True

    def give_back(self, units: int) -> None:
        """Return what the call did not cost to the lane's slice, once."""
        if self.is_over:
            return
        self.is_over = True
        if self.meter is not None:
            self.meter.give_back(units)
            if self.voucher and units == self.amount:
                self.meter.mark_lost()

    def settle(self, charged: int) -> None:
        """Note that the seller let the tick in and charged so much."""
        if self.meter is not None and self.voucher:
            self.meter.mark_shown(self.covers)
        if charged == self.amount:
            self.is_over = True
        else:
            self.give_back(self.amount - charged)

    def row(self, call: Call, now_ms: int) -> WalletCall:
        """Return the call as the wallet keeps it."""
        call_id = call.call_id or f"auto-{self.channel.hex()[:16]}-{self.lane}-{self.seq}"
        state = CallState.SENT if call.call_id else CallState.UNKNOWN
        return WalletCall(
            call_id,
            call.method,
            call.place.url,
            call.digest,
            self.session,
            self.channel,
            self.lane,
            self.seq,
            self.amount,
            now_ms,
            state,
        )

    def payment(
        self, call: Call, outcome: Outcome, *, charged: int, now_ms: int, problem: str = ""
    ) -> Payment:
        """Return the payment with this outcome."""
        amount = Amount(self.amount, self.currency)
        return Payment(
            outcome,
            call.method,
            call.place.url,
            self.payee,
            self.channel,
            self.lane,
            self.seq,
            amount,
            amount if charged == self.amount else Amount(charged, self.currency),
            now_ms,
            call.call_id,
            problem,
        )


def check_receipt(
    ticket: Ticket, call: Call, reply: Reply, header: str, now_ms: int
) -> WalletReceipt:
    """Return the authentic receipt of an answer.

    Raises:
        ReceiptInvalid: it is malformed, about another call, charges more than the tick allows, or
            its MAC is not the seller's over this request and this answer.
    """
    try:
        said = _read(header)
        # Mostly the whole amount, which need not be read again.
        charged = ticket.amount
        if said.charged != str(charged):
            charged = parse_units_text(said.charged, "charged")
    except MalformedMessage as error:
        raise ReceiptInvalid(f"the receipt is malformed: {error.detail}") from error
    if said.reference != f"{ticket.lane}:{ticket.seq}" or charged > ticket.amount:
        raise ReceiptInvalid("the receipt is about another call, or charges more than was allowed")
    key, request, status = ticket.keys.receipt, call.digest, reply.status
    # A streamed answer has no digest in its leaf.
    for digest in (sha256(reply.content).digest(), NO_DIGEST):
        leaf = ReceiptLeaf(
            ticket.channel, ticket.lane, ticket.seq, charged, request, status, digest
        )
        mac = leaf.mac(key)
        if compare_digest(base64url.encode(mac), said.mac):
            return WalletReceipt(leaf, mac, call.method, call.place.url, now_ms)
    raise ReceiptInvalid("the receipt's MAC is not the seller's over this call and its answer")


def _read(header: str) -> _ReceiptJson:
    if len(header) > RECEIPT_CHARS_MAX:
        raise MalformedMessage("receipt is too long")
    try:
        # Not held to one spelling of base64: what it says is held to its MAC.
        said = _decoder.decode(urlsafe_b64decode(header + "=="))
        if not said.mac.isascii():
            raise MalformedMessage("receipt: mac is not base64url")
        return said
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedMessage(f"receipt: {error}") from error
