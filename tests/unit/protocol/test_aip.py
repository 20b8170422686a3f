from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from aisa.errors import MalformedMessage
from aisa.protocol import aip, base64url
from aisa.protocol.aip import notice
from aisa.protocol.aip.field import parse_json, parse_units_text
from aisa.protocol.frame import frame, u16, u32, u64
from tests.vectors import generate

KEY = bytes(range(32))
LEAF = aip.ReceiptLeaf(KEY, 1, 2, 3, KEY, 200)


def changed(document: dict[str, Any], path: str, value: Any) -> bytes:
    names = path.split(".")
    parent = document
    for name in names[:-1]:
        parent = parent[name]
    parent[names[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: frame(b"x" * 65_536), "65,535"),
        (lambda: u16(65_536), "does not fit 2 bytes"),
        (lambda: u32(-1), "does not fit 4 bytes"),
        (lambda: u64(2**64), "does not fit 8 bytes"),
        (lambda: replace(generate.TERMS, holder=b""), "holder must have 32"),
        (lambda: replace(generate.TERMS, payer=b"x" * 33), "payer must have 32"),
        (lambda: replace(generate.TERMS, salt=b"x"), "salt must have 16"),
        (lambda: replace(generate.TERMS, network=""), "network must be"),
        (lambda: replace(generate.TERMS, currency="x" * 97), "currency must be"),
        (lambda: replace(generate.TERMS, currency="\u20ac"), "currency must be"),
        (lambda: replace(generate.TERMS, network="a\nb"), "network must be"),
        (lambda: aip.key_of_hub_network("eip155:1"), "not a node's"),
        (lambda: aip.key_of_hub_network("aisa:AAAA"), "has 3 bytes, not 32"),
        (lambda: aip.DepositStatement(KEY, -1, 0, 0), "deposit must be"),
        (lambda: aip.DepositStatement(KEY, 2**63, 0, 0), "deposit must be"),
        (lambda: aip.DepositStatement(KEY, 0, 1_000_001, 0), "fee_ppm must be"),
        (lambda: aip.DepositStatement(KEY, 0, 0, 2**63), "issued must be"),
        (lambda: replace(generate.session(), lane_first=2**32), "lane_first must fit"),
        (lambda: replace(generate.session(), lane_count=0), "lane_count must be"),
        (lambda: replace(generate.session(), lane_first=2**32 - 1, lane_count=2), "lane_count"),
        (lambda: replace(generate.session(), expiry=-1), "expiry must be"),
        (lambda: replace(generate.session(), payee_x25519=b""), "must have 32 bytes"),
        (lambda: aip.Voucher(b"", 1), "channel must have 32"),
        (lambda: aip.Voucher(KEY, -1), "ceiling must be"),
        (lambda: aip.Voucher(KEY, 2**63), "ceiling must be"),
        (lambda: aip.Voucher(KEY, 0, -1), "expiry must be"),
        (lambda: aip.Voucher.unpack(bytes(113)), "114 or 115 bytes, not 113"),
        (lambda: aip.Voucher.decode("AA"), "a voucher has 114 or 115 bytes, not 1"),
        (lambda: aip.Tick(KEY, 2**32, 1, 1).head(), "out of range"),
        (lambda: aip.Tick(KEY, 1, 1, -1).head(), "out of range"),
        (lambda: _tick(seq=0), "seq"),
        (lambda: _tick(seq=2**63), "seq and amount"),
        (lambda: _tick(amount=2**63), "seq and amount"),
        (lambda: _tick(version=2), "version 2 is not 1"),
        (lambda: aip.Tick.decode("AAAA"), "Payment-Tick has 3 bytes"),
        (lambda: msgspec.structs.replace(LEAF, status=70_000).pack(), "out of range"),
        (lambda: aip.merkle_root([]), "no root"),
        (lambda: _proof(index=5).root(), "outside its batch"),
        (lambda: _proof(index=-1).root(), "outside its batch"),
        (lambda: _proof(count=2**33).root(), "outside its batch"),
        (lambda: _proof(path=(KEY,) * 33).root(), "outside its batch"),
        (lambda: _proof(path=()).root(), "too short"),
        (lambda: _proof(path=(KEY,) * 9).root(), "too long"),
    ],
)
def test_what_is_out_of_range_is_refused(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        make()


def _tick(version: int = 1, seq: int = 1, amount: int = 1) -> aip.Tick:
    raw = bytes((version,)) + KEY + u32(0) + u64(seq) + u64(amount) + bytes(16)
    return aip.Tick.decode(base64url.encode(raw))


def _proof(index: int = 0, count: int = 5, path: tuple[bytes, ...] = (KEY,) * 3) -> Any:
    return aip.ReceiptProof(LEAF, index, count, path, KEY, 1, bytes(64))


def test_frames_of_other_fields_never_look_alike() -> None:
    assert frame("ab", b"c") == b"\x00\x02ab\x00\x01c"
    assert frame("a", b"bc") != frame("ab", b"c") != frame("abc")
    assert frame() == b""
    assert len(frame(b"x" * 65_535)) == 65_537


@pytest.mark.parametrize("text", ["0", "1", "9223372036854775807"])
def test_units_are_digit_strings(text: str) -> None:
    assert parse_units_text(text, "amount") == int(text)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "01", "1.0", "1e7", " 1", "9223372036854775808", "NaN", "\u0661", "9" * 40],
)
def test_other_spellings_of_units_are_refused(text: str) -> None:
    with pytest.raises(MalformedMessage, match="amount must be"):
        parse_units_text(text, "amount")


def test_json_of_another_shape_or_size_is_refused() -> None:
    class Shape(msgspec.Struct):
        a: int

    assert parse_json(b'{"a":1}', Shape, "thing", 7).a == 1
    for raw in (b'{"a":1} ', b'{"a":"1"}', b"\xff", b"[[[[[["):
        with pytest.raises(MalformedMessage, match="thing"):
            parse_json(raw, Shape, "thing", 7)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("amount", bad) for bad in (100, "-1", "1e-7", "", None)),
        *(("currency", bad) for bad in (1, None)),
        *(("recipient", bad) for bad in ("", "AAAA", 1)),
        ("methodDetails", []),
        *(("methodDetails.hubs", bad) for bad in ([], [1], {}, [{"network": "n"}] * 2)),
        ("methodDetails.hubs", [{"network": "n", "feePpmMax": 1}] * 9),
        ("methodDetails.hubs", [{"network": "n", "feePpmMax": 1_000_001}]),
        ("methodDetails.hubs", [{"network": "n", "feePpmMax": -1}]),
        ("methodDetails.hubs", [{"network": "n", "feePpmMax": 1, "url": "https://x"}]),
        *(("methodDetails.scale", bad) for bad in (-1, 12, "6", 6.5)),
        *(("methodDetails.xExpiry", bad) for bad in (-1, 2**53, "1")),
        ("methodDetails.xSig", "AAAA"),
        ("methodDetails.payeeX25519", "AAAA"),
        ("methodDetails.depositMin", "-1"),
        ("methodDetails.ceilingStepMax", "1.5"),
        ("methodDetails.sessionUrl", None),
    ],
)
def test_a_broken_request_is_refused(path: str, value: Any) -> None:
    document = json.loads(generate.request().format())
    with pytest.raises(MalformedMessage):
        aip.SessionRequest.parse(changed(document, path, value))


def test_a_request_of_tomorrow_is_read() -> None:
    document = json.loads(generate.request().format())
    raw = changed(document, "methodDetails.new", {"a": 1})
    assert aip.SessionRequest.parse(raw) == generate.request()
    with pytest.raises(MalformedMessage, match="longer than 4096"):
        aip.SessionRequest.parse(raw + b" " * 4_096)


@pytest.mark.parametrize(
    ("action", "path", "value"),
    [
        ("open", "action", "opened"),
        ("open", "action", None),
        ("open", "channel.payer", "AAAA"),
        ("open", "channel.salt", "AAAA"),
        ("open", "channel.more", 1),
        ("open", "channel.currency", ""),
        ("open", "statement.deposit", 1),
        ("open", "statement.feePpm", -1),
        ("open", "statement.feePpm", 1.5),
        ("open", "statement.issued", 2**63),
        ("open", "session.laneCount", 0),
        ("open", "session.laneFirst", 2**32),
        ("open", "session.signature", "AAAA"),
        ("open", "voucher", "AAAA"),
        ("voucher", "voucher", None),
        ("topUp", "statement.channel", "AA"),
        ("close", "channel", "AA"),
        ("close", "signature", "\u00e9"),
        ("closeLane", "lane", 2**32),
        ("closeLane", "lane", -1),
        ("closeLane", "lane", "7"),
    ],
)
def test_a_broken_action_is_refused(action: str, path: str, value: Any) -> None:
    document = json.loads(aip.format_action(generate.actions()[action]))
    with pytest.raises(MalformedMessage):
        aip.parse_action(changed(document, path, value))


def test_every_action_returns_from_its_json() -> None:
    for action in generate.actions().values():
        assert aip.parse_action(aip.format_action(action)) == action


def test_lanes_are_a_range() -> None:
    assert generate.session(5, 3).lanes == range(5, 8)


def test_a_receipt_is_authentic_under_its_own_key_only() -> None:
    receipt = aip.CallReceipt(LEAF, LEAF.mac(KEY))
    assert receipt.is_authentic(KEY)
    assert not receipt.is_authentic(bytes(32))
    assert not replace(receipt, leaf=msgspec.structs.replace(LEAF, units=4)).is_authentic(KEY)


def test_messages_of_two_kinds_never_look_alike() -> None:
    made = [
        notice.close_bytes(KEY),
        notice.open_bytes(KEY, KEY),
        notice.close_lane_bytes(KEY, 1),
        notice.payee_exchange_bytes(KEY, 1),
        aip.LaneClosed(KEY, 1, 1).signing_bytes(),
        generate.statement().signing_bytes(),
        generate.session().signing_bytes(),
        generate.voucher().message(),
    ]
    assert len({message[:12] for message in made}) == len(made)


class _Shape(msgspec.Struct):
    amount: str


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"amount":"1","amount":"2"}', "repeated"),
        (b'{"amount":NaN}', "not a number"),
        (b'{"amount":1}', "Expected `str`"),
        (b'{"amount":"1"', "not strict JSON"),
        (b'"' + b"x" * 200 + b'"', "longer than 100"),
        (b"\xff", "UTF-8"),
        (b"[" * 90, "not strict JSON|nested"),
    ],
)
def test_an_object_is_read_strictly(raw: bytes, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        parse_json(raw, _Shape, "payload", 100)
    assert parse_json(b'{"amount":"1"}', _Shape, "payload", 100).amount == "1"
