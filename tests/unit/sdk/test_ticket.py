"""Receipts as the payer reads them: authentic and about this call, or refused."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from aisa.errors import ReceiptInvalid
from aisa.identity import SessionKeys
from aisa.money import AIUSD
from aisa.protocol import base64url
from aisa.protocol.aip import ReceiptLeaf
from aisa.protocol.aip.receipt import NO_DIGEST
from aisa.sdk.call import Call
from aisa.sdk.place import locate
from aisa.sdk.step import Reply
from aisa.sdk.ticket import Ticket, check_receipt

KEYS = SessionKeys(bytes([1]) * 32, bytes([2]) * 32)
CALL = Call("GET", locate("http://seller.test/x"), {}, b"", 0, 1.0)
REPLY = Reply(200, {}, b"answer")


def ticket(amount: int = 100) -> Ticket:
    return Ticket(bytes(32), bytes(32), AIUSD, bytes(32), KEYS, 3, 7, amount, "tick")


def header(**changes: Any) -> str:
    content = changes.pop("content", REPLY.content)
    units = changes.pop("units", 40)
    from hashlib import sha256

    digest = NO_DIGEST if content is None else sha256(content).digest()
    leaf = ReceiptLeaf(bytes(32), 3, 7, units, CALL.digest, 200, digest)
    document = {
        "status": "success",
        "method": "aisa",
        "timestamp": "2027-01-15T08:00:00Z",
        "reference": "3:7",
        "channel": base64url.encode(bytes(32)),
        "charged": str(units),
        "mac": base64url.encode(leaf.mac(KEYS.receipt)),
        **changes,
    }
    return base64url.encode(msgspec.json.encode(document))


def test_an_authentic_receipt_says_what_was_charged() -> None:
    receipt = check_receipt(ticket(), CALL, REPLY, header(), 9)
    assert (receipt.leaf.units, receipt.leaf.answer != NO_DIGEST, receipt.at_ms) == (40, True, 9)


def test_a_streamed_answer_has_no_digest() -> None:
    receipt = check_receipt(ticket(), CALL, REPLY, header(content=None), 9)
    assert receipt.leaf.answer == NO_DIGEST


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": "3:8"},
        {"reference": "4:7"},
        {"charged": "41"},
        {"charged": "-1"},
        {"charged": "1e1"},
        {"charged": 40},
        {"units": 101},
        {"content": b"other"},
        {"mac": ""},
        {"mac": "ü"},
        {"mac": base64url.encode(bytes(16))},
    ],
)
def test_a_receipt_of_anything_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ReceiptInvalid):
        check_receipt(ticket(), CALL, REPLY, header(**changes), 9)


@given(
    st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: urlsafe_b64encode(raw).decode())
)
def test_noise_is_refused(text: str) -> None:
    with pytest.raises(ReceiptInvalid):
        check_receipt(ticket(), CALL, REPLY, text, 9)


def test_too_long_a_receipt_is_not_read() -> None:
    with pytest.raises(ReceiptInvalid, match="too long"):
        check_receipt(ticket(), CALL, REPLY, "a" * 1025, 9)


def test_an_amount_comes_back_once() -> None:
    from aisa.channel.payer_lane import LaneMeter

    meter = LaneMeter(3)
    meter.add(100, 100, "v")
    meter.take(100)
    one = ticket()
    one.meter = meter
    one.give_back(100)
    one.give_back(100)
    assert meter.taken == 0
