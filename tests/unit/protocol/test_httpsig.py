from __future__ import annotations

from typing import Any

import pytest

from aisa.errors import MalformedMessage, NotFound, SignatureInvalid
from aisa.identity.signer import SigningKey, verify_signature
from aisa.protocol import httpsig
from aisa.protocol.structuredfield import (
    InnerList,
    Item,
    Token,
    format_dictionary,
    parse_dictionary,
)

KEY = SigningKey(bytes(32))
NOW = 1_795_309_432
URI = "https://node.example/v1/channels?dry=1"
BODY = b'{"a":1}'
PARAMS = httpsig.SignatureParams(KEY.public_key.hex(), NOW, "n1")


def signed(**changes: str) -> dict[str, str]:
    made = httpsig.sign_request("POST", URI, BODY, PARAMS, KEY.sign)
    return {name.lower(): value for name, value in {**made, **changes}.items()}


def verify(
    headers: dict[str, str], *, method: str = "POST", uri: str = URI, body: bytes = BODY,
    now_s: int = NOW,
) -> httpsig.SignatureParams:  # fmt: skip
    return httpsig.verify_request(
        method,
        uri,
        body,
        headers,
        key_of=bytes.fromhex,
        verify=verify_signature,
        now_s=now_s,
    )


def test_a_signed_request_is_known_again() -> None:
    assert verify(signed()) == PARAMS
    assert verify(signed(), now_s=NOW + 300) == PARAMS
    assert verify(signed(), now_s=NOW - 300) == PARAMS


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"uri": URI + "&x=1"},
        {"uri": "https://other.example/v1/channels?dry=1"},
        {"body": b'{"a":2}'},
        {"now_s": NOW + 301},
        {"now_s": NOW - 301},
    ],
)
def test_anything_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SignatureInvalid):
        verify(signed(), **changes)


@pytest.mark.parametrize("name", ["signature", "signature-input", "content-digest"])
def test_a_missing_header_is_refused(name: str) -> None:
    headers = signed()
    del headers[name]
    with pytest.raises(SignatureInvalid, match="lacks"):
        verify(headers)


def test_a_digest_of_another_body_is_refused_even_if_signed() -> None:
    headers = signed(**{"content-digest": httpsig.content_digest(b"other")})
    with pytest.raises(SignatureInvalid, match="body"):
        verify(headers)


def test_a_digest_beside_another_algorithm_is_read() -> None:
    both = "sha-512=:AAAA:, " + httpsig.content_digest(BODY)
    httpsig.check_content_digest(both, BODY)
    with pytest.raises(SignatureInvalid):  # the header itself is covered
        verify(signed(**{"content-digest": both}))
    for broken in ("", "sha-512=:AAAA:", "sha-256=abc", "sha-256", "sha-256=()", "???"):
        with pytest.raises(MalformedMessage, match="Content-Digest"):
            httpsig.check_content_digest(broken, BODY)


def test_an_unknown_key_is_the_callers_error() -> None:
    def unknown(_: str) -> bytes:
        raise NotFound("no such key")

    with pytest.raises(NotFound):
        httpsig.verify_request(
            "POST", URI, BODY, signed(), key_of=unknown, verify=verify_signature, now_s=NOW
        )


def test_another_key_is_refused() -> None:
    other = SigningKey(bytes(range(32)))
    made = httpsig.sign_request("POST", URI, BODY, PARAMS, other.sign)
    with pytest.raises(SignatureInvalid, match="does not verify") as refused:
        verify({name.lower(): value for name, value in made.items()})
    assert refused.value.facts["keyid"] == PARAMS.keyid


def test_signatures_of_other_tags_are_passed_over() -> None:
    ours = signed()
    headers = {
        **ours,
        "signature-input": 'web=("@authority");created=1;tag="web-bot-auth", '
        + ours["signature-input"]
        + ", plain=1",
        "signature": "web=:AAAA:, " + ours["signature"],
    }
    assert verify(headers) == PARAMS


COVERED = '("@method" "@target-uri" "content-digest")'
REST = ';created=1;nonce="n";keyid="k";alg="ed25519";tag="aisa"'


def changed(old: str, new: str) -> str:
    return f"aisa={COVERED}{REST.replace(old, new)}"


MADE = "aisa=:" + "A" * 86 + "==:"


@pytest.mark.parametrize(
    ("signature_input", "signature", "why"),
    [
        (f'aisa=("@method" "content-digest"){REST}', MADE, "cover exactly"),
        (f'aisa=("@target-uri" "@method" "content-digest"){REST}', MADE, "cover exactly"),
        (f'aisa=("@method";req "@target-uri" "content-digest"){REST}', MADE, "cover exactly"),
        (f"aisa=(@method){REST}", MADE, "lacks"),
        (f"aisa={COVERED}{REST}", "other=:AAAA:", "no signature called"),
        (f"aisa={COVERED}{REST}", 'aisa="text"', "no signature called"),
        (f"aisa={COVERED}{REST}", "aisa=()", "no signature called"),
        (f"aisa={COVERED}{REST}", "aisa=:AAAA:", "not 64 bytes"),
        (changed("ed25519", "hmac"), MADE, "alg"),
        (changed("created=1", "created"), MADE, "created"),
        (changed("created=1", "created=-1"), MADE, "created"),
        (changed("created=1;", ""), MADE, "created"),
        (changed("nonce=", "nonsense="), MADE, "nonce"),
        (changed('"n"', "n"), MADE, "nonce"),
        (changed('"n"', '""'), MADE, "nonce"),
        (changed('"k"', '"a b"'), MADE, "keyid"),
        (f"aisa={COVERED}{REST};expires=2", MADE, "exactly the parameters"),
    ],
)
def test_what_is_outside_the_profile_is_refused(
    signature_input: str, signature: str, why: str
) -> None:
    with pytest.raises(MalformedMessage, match=why):
        httpsig.parse_signature(signature_input, signature)


def test_one_signature_of_ours_is_asked_for() -> None:
    one = COVERED + REST
    for text in ("", 'web=("@method");tag="web"', f"a={one}, b={one}", 'aisa=1;tag="aisa"'):
        with pytest.raises(SignatureInvalid, match="of tag 'aisa'"):
            httpsig.parse_signature(text, MADE)


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("", URI),
        ("GET X", URI),
        ("GET", "/v1/channels"),
        ("GET", "https://node.example/a b"),
        ("GET", "https://node.example/\n"),
        ("GET", "https://node.example/\u00e9"),
        ("GET", "https://node.example/" + "x" * 9_000),
    ],
)
def test_what_cannot_be_signed_is_refused(method: str, uri: str) -> None:
    with pytest.raises(MalformedMessage, match=r"^@"):
        httpsig.signing_base(method, uri, "sha-256=:AA==:", PARAMS)


def test_a_value_cannot_add_a_line_to_the_base() -> None:
    with pytest.raises(MalformedMessage):
        httpsig.signing_base("GET", URI, 'sha-256=:AA==:\n"@method": PUT', PARAMS)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A=1", "a key"),
        ("a=1,", "ends with a comma"),
        ("a=1 b=2", "a comma"),
        ("a=1, a=2", "repeats"),
        (", ".join(f"k{i}" for i in range(65)), "more than 64"),
        ("a=(1" + " 1" * 64 + ")", "more than 64 items"),
        ("a=(1", "space"),
        ("a=(1,2)", "space"),
        ("a=1;b=1;b=2", "repeats the parameter"),
        ("a=1.5", "an integer"),
        ("a=1234567890123456", "an integer"),
        ('a="\u00e9"', "a string"),
        ('a="b', "a string"),
        ('a="\\x"', "a string"),
        ("a=:A:", "not base64|canonical"),
        ("a=:AB==:", "not canonical"),
        ("a=:AA==", "byte sequence"),
        ("a=?2", "a boolean"),
        ("a=", "an item"),
        ("a=@1", "an item"),
        ("a=\u0661", "an integer|an item"),
        ("a;", "a parameter"),
        ("x" * 9_000, "longer than"),
    ],
)
def test_broken_fields_are_refused(text: str, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        parse_dictionary(text, "Field")


def test_fields_are_written_canonically() -> None:
    members = parse_dictionary('a=?1;x=?0 ,b=(  "q\\"\\\\"  tok/en:1;y ); z=:AA==:,c;d=-5', "Field")
    words = (Item('q"\\'), Item(Token("tok/en:1"), (("y", True),)))
    assert members == {
        "a": Item(True, (("x", False),)),
        "b": InnerList(words, (("z", b"\x00"),)),
        "c": Item(True, (("d", -5),)),
    }
    assert format_dictionary(members) == ('a;x=?0, b=("q\\"\\\\" tok/en:1;y);z=:AA==:, c;d=-5')
    assert parse_dictionary("", "Field") == {}


def test_what_has_no_text_is_not_written() -> None:
    for value in ("\u00e9", "a\nb", 10**15, -(10**15)):
        with pytest.raises(MalformedMessage):
            format_dictionary({"a": Item(value)})
