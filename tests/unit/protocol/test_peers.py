"""Bytes that other projects' implementations made: read, and written back the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aisa.identity.signer import SigningKey, verify_signature
from aisa.protocol import httpsig, jcs, mpp, x402
from aisa.protocol.structuredfield import InnerList, Item
from tests.vectors.files import read_vectors

PYMPP = read_vectors("mpp_pympp.json")
SDK = read_vectors("x402_sdk.json")
PEER = read_vectors("httpsig_peer.json")


def described(case: dict[str, Any]) -> str:
    return case["description"]


@pytest.mark.parametrize("case", PYMPP["challenges"], ids=described)
def test_pympp_challenge(case: dict[str, Any]) -> None:
    given, secret = case["input"], case["secret"].encode()
    made = mpp.issue_challenge(
        secret,
        realm=given["realm"],
        method=given["method"],
        intent=given["intent"],
        request=jcs.canonical(given["request"]),
        expires=given.get("expires"),
        digest=given.get("digest"),
        opaque=jcs.canonical(given["meta"]) if "meta" in given else None,
        description=given.get("text"),
        header=given.get("header"),
    )
    assert made.id == case["id"]
    assert made.credential_header == case["credential_header"]
    assert made.format() == case["www_authenticate"]
    parsed = mpp.parse_challenge(case["www_authenticate"])
    assert parsed == made
    assert parsed.is_issued_by(secret)
    assert parsed.request_object() == given["request"]


@pytest.mark.parametrize("case", PYMPP["challenges"], ids=described)
def test_pympp_credential(case: dict[str, Any]) -> None:
    expected = case["credential"]
    parsed = mpp.parse_credential(expected["value"])
    assert parsed.challenge.is_issued_by(case["secret"].encode())
    assert json.loads(parsed.payload) == expected["payload"]
    assert parsed.source == expected["source"]
    assert parsed.challenge == mpp.parse_challenge(case["www_authenticate"])
    assert mpp.parse_credential(parsed.format()) == parsed


@pytest.mark.parametrize("case", PYMPP["receipts"], ids=described)
def test_pympp_receipt(case: dict[str, Any]) -> None:
    parsed = mpp.parse_receipt(case["value"])
    assert (parsed.reference, parsed.method) == (
        case["input"]["reference"],
        case["input"]["method"],
    )
    assert parsed.timestamp_s == 1_795_348_801
    assert parsed.other.get("externalId") == case["input"].get("external_id")
    assert parsed.format() == case["value"]


def test_the_worked_example() -> None:
    assert PYMPP["challenges"][0]["id"] == "VAY0lRjj_hZ30Z-EfTWAeI4s1yGweTcykBkv0cpA9bs"


HEADERS: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    "required": (x402.parse_required, x402.format_required),
    "payload": (x402.parse_payload, x402.format_payload),
    "settlement": (x402.parse_settlement, x402.format_settlement),
}


@pytest.mark.parametrize(
    ("kind", "case"),
    [(kind, case) for kind in HEADERS for case in SDK[kind]],
    ids=lambda value: value if isinstance(value, str) else described(value),
)
def test_x402_header(kind: str, case: dict[str, Any]) -> None:
    parse, format_ = HEADERS[kind]
    parsed = parse(case["header"])
    written = json.loads(parsed.encode())
    # The batch scheme's empty amount says the same as none.
    said = {name: value for name, value in json.loads(case["body"]).items() if value != ""}
    assert {name: value for name, value in written.items() if value != ""} == said
    assert parse(format_(parsed)) == parsed
    if kind != "settlement":
        assert parsed.encode().decode() == case["body"]
        assert format_(parsed) == case["header"]


@pytest.mark.parametrize("case", SDK["verify"], ids=described)
def test_x402_verify_response(case: dict[str, Any]) -> None:
    parsed = x402.VerifyResponse.parse(case["body"].encode())
    assert parsed.encode().decode() == case["body"]
    assert parsed.is_valid is case["input"]["isValid"]


@pytest.mark.parametrize("case", PEER["requests"], ids=described)
def test_another_implementation_signs_what_we_verify(case: dict[str, Any]) -> None:
    body = bytes.fromhex(case["body"])
    parsed = httpsig.parse_signature(
        case["headers"]["signature-input"], case["headers"]["signature"]
    )
    base = httpsig.signing_base(
        case["method"], case["target_uri"], case["headers"]["content-digest"], parsed.params
    )
    assert base.decode() == case["base"]
    assert SigningKey(bytes.fromhex(case["seed"])).sign(base) == parsed.signature
    params = httpsig.verify_request(
        case["method"],
        case["target_uri"],
        body,
        case["headers"],
        key_of=bytes.fromhex,
        verify=verify_signature,
        now_s=case["created"] + 299,
    )
    assert (params.keyid, params.nonce) == (case["keyid"], case["nonce"])


@pytest.mark.parametrize("case", read_vectors("jcs_peer.json")["documents"], ids=described)
def test_another_implementation_writes_the_same_canonical_json(case: dict[str, Any]) -> None:
    assert jcs.canonical(case["value"]).hex() == case["canonical"]


def test_signature_base_of_rfc_9421_b_2_6() -> None:
    # RFC 9421, B.1.4 and B.2.6; the key is published there as d and x.
    seed = "9f8362f87a484a954e6e740c5b4c0e84229139a20aa8ab56ff66586f6a7d29c5"
    public = "26b40b8f93fff3d897112f7ebc582b232dbd72517d082fe83cfb30ddce43d1bb"
    components = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ]
    params = InnerList(
        tuple(Item(name) for name, _ in components),
        (("created", 1618884473), ("keyid", "test-key-ed25519")),
    )
    key = SigningKey(bytes.fromhex(seed))
    assert key.public_key.hex() == public
    signature = key.sign(httpsig.signature_base(components, params))
    assert Item(signature).format() == (
        ":wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
    )


def test_content_digest_of_rfc_9530() -> None:
    assert httpsig.content_digest(b'{"hello": "world"}\n') == (
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    )
    assert httpsig.content_digest(b"") == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
