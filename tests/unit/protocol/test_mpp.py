from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from aisa.errors import MalformedMessage
from aisa.protocol import base64url, jcs, mpp

SECRET = b"s"
CHALLENGE = mpp.issue_challenge(
    SECRET,
    realm="api.example",
    method="aisa",
    intent="session",
    request=jcs.canonical({"amount": "100"}),
    expires="2026-12-01T00:05:00Z",
)


@dataclass(frozen=True)
class Plain:
    method: str
    intent: str


OFFERS = [Plain("aisa", "session"), Plain("lightning", "charge"), Plain("lightning", "session")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("id", bad) for bad in ("", "a b", "x" * 257, "\u00e9")),
        *(("realm", bad) for bad in ("", "a|b", "a\nb", "x" * 1025)),
        *(("method", bad) for bad in ("", "Aisa", "1a", "a|b", "x" * 65)),
        *(("intent", bad) for bad in ("", "a_b", "a|b", "x" * 65)),
        *(("request", bad) for bad in (b"", b"[]", b"{", b'{"a":1,"a":2}', b" " * 9000)),
        *(("expires", bad) for bad in ("", "tomorrow", "2026-12-01", "2026-12-01T00:05:00Z|")),
        *(("digest", bad) for bad in ("", "sha-256", "sha-256=a|b", "sha-256=" + "a" * 200)),
        *(("opaque", bad) for bad in (b"", b"1", b"\xff")),
        *(("description", bad) for bad in ("\x00", "x" * 1025)),
        *(("header", bad) for bad in ("", "a b", "a|b", "x" * 65)),
    ],
)
def test_a_challenge_names_the_field_that_is_wrong(field: str, value: Any) -> None:
    with pytest.raises(MalformedMessage) as refused:
        replace(CHALLENGE, **{field: value})
    assert refused.value.facts["field"] == f"challenge.{field}"


def test_times_and_request_are_at_hand() -> None:
    assert CHALLENGE.expires_at_s == 1_796_083_500
    assert replace(CHALLENGE, expires=None).expires_at_s is None
    assert CHALLENGE.request_object() == {"amount": "100"}


def test_a_slot_cannot_pass_for_another() -> None:
    with_header = mpp.issue_challenge(
        SECRET,
        realm="r",
        method="m",
        intent="i",
        request=b"{}",
        expires="2026-12-01T00:05:00Z",
        header="Payment-Authorization",
    )
    with pytest.raises(MalformedMessage):
        replace(with_header, header=None, digest="|Payment-Authorization")
    with pytest.raises(MalformedMessage):
        replace(with_header, realm="r|m", method="i")
    assert not replace(with_header, header=None).is_issued_by(SECRET)
    assert not replace(with_header, header="X-Payment").is_issued_by(SECRET)


def test_what_a_person_reads_is_not_bound() -> None:
    assert replace(CHALLENGE, description="cheap").is_issued_by(SECRET)


def test_other_schemes_and_broken_offers_are_passed_over() -> None:
    good = CHALLENGE.format()
    lines = [
        'L402 token="x", invoice="y"',
        "Basic ???",
        'Payment id="a"',
        'Payment id="a',
        f"Bearer abc, {good}, Negotiate",
    ]
    assert mpp.parse_challenges(lines) == (CHALLENGE,)
    assert mpp.parse_challenges([]) == ()
    assert mpp.parse_challenges(["Basic ???"]) == ()
    assert mpp.parse_challenges([good] * 40) == (CHALLENGE,) * mpp.CHALLENGES_MAX


@pytest.mark.parametrize("line", ['Payment id="a', 'Payment id="a"', "Basic x, Payment ???"])
def test_when_no_offer_is_whole_the_first_fault_is_told(line: str) -> None:
    with pytest.raises(MalformedMessage):
        mpp.parse_challenges([line, "Basic realm=x"])


@pytest.mark.parametrize("name", ["id", "realm", "method", "intent", "request"])
def test_a_required_parameter_is_missed(name: str) -> None:
    broken = CHALLENGE.format().replace(f"{name}=", f"x{name}=")
    with pytest.raises(MalformedMessage, match=f"challenge.{name} is missing"):
        mpp.parse_challenge(broken)


def test_one_challenge_is_asked_for() -> None:
    with pytest.raises(MalformedMessage, match="0 Payment challenges"):
        mpp.parse_challenge("Basic realm=x")
    with pytest.raises(MalformedMessage, match="2 Payment challenges"):
        mpp.parse_challenge(f"{CHALLENGE.format()}, {CHALLENGE.format()}")


def test_unknown_parameters_are_ignored() -> None:
    assert mpp.parse_challenge(CHALLENGE.format() + ', new="1"') == CHALLENGE


def credential(**changes: Any) -> str:
    echo = {
        "id": "a",
        "realm": "r",
        "method": "m",
        "intent": "i",
        "request": base64url.encode(b"{}"),
    }
    document = {"challenge": echo, "payload": {}, **changes}
    return "Payment " + base64url.encode(jcs.canonical(document))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "scheme"),
        ("Bearer abc", "scheme"),
        ("Payment", "scheme"),
        ("Payment ???", "base64url"),
        ("Payment " + base64url.encode(b"[]"), "not a JSON object"),
        ("Payment " + "A" * 40_000, "longer"),
        (credential(payload=[]), "credential.payload is not an object"),
        (credential(payload=None), "credential.payload is missing"),
        (credential(challenge="x"), "credential.challenge is not an object"),
        (credential(challenge={}), "credential.challenge.id is missing"),
        (credential(source=1), "credential.source is not a string"),
        (credential(source="x" * 513), "credential.source is longer"),
        ("Payment " + base64url.encode(b'{"challenge":{},"payload":{"a":0.5}}'), "challenge.id"),
    ],
)
def test_broken_credentials_are_refused(value: str, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        mpp.parse_credential(value)


def test_a_credential_is_read_in_any_case_and_kept_in_bounds() -> None:
    made = mpp.Credential(CHALLENGE, b'{"b":1,"a":"x"}', "did:key:z1")
    read = mpp.parse_credential(made.format().replace("Payment ", "PAYMENT   "))
    assert read == replace(made, payload=b'{"a":"x","b":1}')
    with pytest.raises(MalformedMessage, match="longer than"):
        mpp.Credential(CHALLENGE, b'{"a":"' + b"x" * 25_000 + b'"}').format()
    with pytest.raises(MalformedMessage, match="payload"):
        mpp.Credential(CHALLENGE, b"[]").format()


def test_opaque_data_returns_in_the_echo() -> None:
    made = mpp.issue_challenge(
        SECRET, realm="r", method="m", intent="i", request=b"{}", opaque=b'{"o":"1"}'
    )
    read = mpp.parse_credential(mpp.Credential(made, b"{}").format())
    assert read.challenge.opaque == b'{"o":"1"}'
    assert read.challenge.is_issued_by(SECRET)
    assert not replace(read.challenge, opaque=b'{"o":"2"}').is_issued_by(SECRET)


def receipt(**changes: Any) -> str:
    document = {
        "status": "success",
        "method": "aisa",
        "timestamp": "2026-12-01T00:05:00Z",
        "reference": "0:1",
        **changes,
    }
    return base64url.encode(jcs.canonical(document))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "failed"}, "receipt.status"),
        ({"status": None}, "receipt.status is missing"),
        ({"method": "A"}, "receipt.method"),
        ({"timestamp": "now"}, "receipt.timestamp"),
        ({"reference": 1}, "receipt.reference"),
        ({"more": "x" * 7000}, "longer"),
    ],
)
def test_broken_receipts_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        mpp.parse_receipt(receipt(**changes))


def test_a_receipt_keeps_what_mpp_does_not_name() -> None:
    read = mpp.parse_receipt(receipt(mac="AAAA", charged="100"))
    assert read.other == {"mac": "AAAA", "charged": "100"}
    assert mpp.parse_receipt(read.format()) == read
    with pytest.raises(MalformedMessage, match="longer"):
        replace(read, other={"a": "x" * 7000}).format()


@pytest.mark.parametrize(
    "value",
    [
        *("", " , ", "tempo", "tempo/", "/charge", "Tempo/charge", "tempo/charge;q=1.5"),
        *("tempo/charge;q=-0", "tempo/charge;q=0.1234", "tempo/charge;level=1", "a/b/c"),
        *("a/b;q=\u0661", "x" * 5000, ",".join(["a/b"] * 65)),
    ],
)
def test_broken_preferences_are_refused_and_then_ignored(value: str) -> None:
    with pytest.raises(MalformedMessage, match="Accept-Payment"):
        mpp.parse_accept(value)
    assert mpp.narrow(OFFERS, value) == tuple(OFFERS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2]),
        ("lightning/*", [1, 2]),
        ("*/session", [0, 2]),
        ("aisa/session;q=0.1, */*;q=0.5", [1, 2, 0]),
        ("*/*, aisa/session;q=0", [1, 2]),
        ("lightning/* ; q = 0.9, lightning/charge;Q=1.000", [1, 2]),
        ("stripe/charge", [0, 1, 2]),
        ("*/*;q=0", [0, 1, 2]),
        ("aisa/*;q=0.2, */session;q=0.4", [0, 2]),
    ],
)
def test_offers_are_narrowed(value: str | None, expected: list[int]) -> None:
    assert mpp.narrow(OFFERS, value) == tuple(OFFERS[i] for i in expected)


def test_no_more_offers_than_headers_hold() -> None:
    assert len(mpp.narrow(OFFERS * 9, None)) == mpp.OFFERS_MAX
    assert len(mpp.narrow(OFFERS * 9, "*/*", offers_max=2)) == 2
    assert mpp.narrow([], "*/*") == ()


def test_preferences_are_written_short() -> None:
    weights = [0, 1, 10, 100, 999, 1000]
    ranges = [mpp.PaymentRange("a", "b", weight) for weight in weights]
    assert mpp.format_accept(ranges) == (
        "a/b;q=0, a/b;q=0.001, a/b;q=0.01, a/b;q=0.1, a/b;q=0.999, a/b"
    )
