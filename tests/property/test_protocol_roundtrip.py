"""parse∘format is the identity on every value, and format gives one text."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aisa import errors
from aisa.protocol import aip, authscheme, base64url, httpsig, jcs, mpp, strictjson, timestamp, x402
from aisa.protocol.problem import Problem, error_of, parse_problem, problem_of
from aisa.protocol.structuredfield import (
    InnerList,
    Item,
    Token,
    format_dictionary,
    parse_dictionary,
)

UNICODE = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(UNICODE, max_size=40)
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
UNITS = st.integers(0, 2**63 - 1)
EXACT = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, EXACT, max_size=4)
LOOSE = st.recursive(
    EXACT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
LOOSE_OBJECTS = st.dictionaries(TEXTS.map(lambda text: "x-" + text), LOOSE, max_size=3)
KEYS = st.binary(min_size=32, max_size=32)
SIGNATURES = st.binary(min_size=64, max_size=64)
SECONDS = st.integers(0, 2**40)
TEXT_LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\t"), max_size=40)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@given(st.binary(max_size=200))
def test_base64(data: bytes) -> None:
    assert base64url.decode(base64url.encode(data), bytes_max=len(data)) == data
    assert base64url.decode_exact(base64url.encode(data), "x", len(data)) == data
    standard = base64url.encode_standard(data)
    assert base64url.decode_standard(standard, bytes_max=len(data)) == data


@given(LOOSE)
def test_json(value: Any) -> None:
    text = strictjson.format_json(value)
    assert strictjson.parse_json(text) == value
    assert strictjson.format_json(strictjson.parse_json(text.encode())) == text


@given(EXACT)
def test_canonical_json_is_json_and_is_unique(value: Any) -> None:
    canonical = jcs.canonical(value)
    assert strictjson.parse_json(canonical) == value
    assert jcs.canonical(strictjson.parse_json(canonical)) == canonical
    if isinstance(value, dict):
        assert jcs.canonical(dict(reversed(value.items()))) == canonical


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_timestamps(unix_s: int) -> None:
    assert timestamp.parse_timestamp(timestamp.format_timestamp(unix_s), "time") == unix_s


@given(TEXT_LINES)
def test_quoted_strings(text: str) -> None:
    quoted = authscheme.quote(text, "text")
    assert quoted.isascii()
    (found,) = authscheme.split_challenges(f"X a={quoted}")
    assert found.mapping() == {"a": text}


METHODS = st.from_regex(r"[a-z][a-z0-9:_-]{0,20}", fullmatch=True)
INTENTS = st.from_regex(r"[A-Za-z0-9-]{1,20}", fullmatch=True)
DATES = st.integers(0, 253_402_300_799).map(timestamp.format_timestamp)
HEADER_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,30}", fullmatch=True)
REALMS = TEXT_LINES.filter(lambda text: text and "|" not in text)
CHALLENGES = st.builds(
    mpp.Challenge,
    id=VISIBLE,
    realm=REALMS,
    method=METHODS,
    intent=INTENTS,
    request=OBJECTS.map(jcs.canonical),
    expires=optional(DATES),
    digest=optional(st.binary(min_size=1, max_size=32).map(lambda raw: "sha-256=" + raw.hex())),
    opaque=optional(OBJECTS.map(jcs.canonical)),
    description=optional(TEXT_LINES),
    header=optional(HEADER_NAMES),
)


@given(st.lists(CHALLENGES, min_size=1, max_size=4))
def test_challenges_survive_each_in_its_line_and_all_in_one(found: list[mpp.Challenge]) -> None:
    lines = [one.format() for one in found]
    assert mpp.parse_challenges(lines) == tuple(found)
    assert mpp.parse_challenges(['Basic realm="x"', ", ".join(lines)]) == tuple(found)
    assert [mpp.parse_challenge(line).format() for line in lines] == lines


@given(CHALLENGES, OBJECTS.map(jcs.canonical), optional(TEXTS.filter(bool)))
def test_credentials(challenge: mpp.Challenge, payload: bytes, source: str | None) -> None:
    credential = mpp.Credential(challenge, payload, source)
    assert mpp.parse_credential(credential.format()) == credential


@given(CHALLENGES, st.binary(max_size=40), st.binary(max_size=40), st.data())
def test_an_issued_challenge_is_known_again_and_no_other(
    drawn: mpp.Challenge, secret: bytes, other: bytes, data: st.DataObject
) -> None:
    fields = {
        name: getattr(drawn, name) for name in type(drawn).__dataclass_fields__ if name != "id"
    }
    issued = mpp.issue_challenge(secret, **fields)
    assert mpp.parse_challenge(issued.format()).is_issued_by(secret)
    # HMAC pads a short key with zeros, so keys that differ only in those are one key.
    assert issued.is_issued_by(other) == (other.rstrip(b"\x00") == secret.rstrip(b"\x00"))
    another = data.draw(CHALLENGES)
    name = data.draw(st.sampled_from(sorted(set(fields) - {"description"})))
    forged = {**fields, "id": issued.id, name: getattr(another, name)}
    assert mpp.Challenge(**forged).is_issued_by(secret) == (forged[name] == fields[name])


@given(METHODS, DATES, TEXTS, LOOSE_OBJECTS)
def test_mpp_receipts(method: str, at: str, reference: str, other: dict[str, Any]) -> None:
    receipt = mpp.Receipt(method, at, reference, other)
    assert mpp.parse_receipt(receipt.format()) == receipt


RANGES = st.builds(
    mpp.PaymentRange, st.just("*") | METHODS, st.just("*") | INTENTS, st.integers(0, 1000)
)


@given(st.lists(RANGES, min_size=1, max_size=8).map(tuple))
def test_preferences(ranges: tuple[mpp.PaymentRange, ...]) -> None:
    assert mpp.parse_accept(mpp.format_accept(ranges)) == ranges


@given(st.lists(CHALLENGES, max_size=8), st.lists(RANGES, max_size=6))
def test_ranking_keeps_only_what_is_liked_and_never_adds(
    offers: list[mpp.Challenge], ranges: list[mpp.PaymentRange]
) -> None:
    ranked = mpp.rank(offers, ranges)
    assert len(ranked) == sum(
        bool(liked := [r for r in ranges if r.matches(o)])
        and max((r.specificity, r.weight) for r in liked)[1] > 0
        for o in offers
    )
    assert all(any(offer is one for one in offers) for offer in ranked)
    assert len(mpp.narrow(offers, mpp.format_accept(ranges))) <= mpp.OFFERS_MAX


NETWORKS = st.sampled_from(
    ["eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "aisa:_-Az09"]
)
REQUIREMENTS = st.builds(
    x402.PaymentRequirements,
    scheme=st.sampled_from(["exact", "upto", "batch-settlement"]),
    network=NETWORKS,
    asset=VISIBLE,
    amount=st.integers(0, 2**256 - 1),
    pay_to=VISIBLE,
    max_timeout_s=st.integers(0, 2**31 - 1),
    extra=optional(LOOSE_OBJECTS),
    other=LOOSE_OBJECTS,
)
RESOURCES = st.builds(
    x402.ResourceInfo,
    url=TEXTS.filter(bool),
    description=optional(TEXTS),
    mime_type=optional(TEXTS),
    service_name=optional(TEXTS),
    tags=optional(st.lists(TEXTS, max_size=4).map(tuple)),
    icon_url=optional(TEXTS),
    other=LOOSE_OBJECTS,
)
REQUIRED = st.builds(
    x402.PaymentRequired,
    accepts=st.lists(REQUIREMENTS, max_size=3).map(tuple),
    resource=optional(RESOURCES),
    error=optional(TEXTS),
    extensions=optional(LOOSE_OBJECTS),
    other=LOOSE_OBJECTS,
)
PAYLOADS = st.builds(
    x402.PaymentPayload,
    accepted=REQUIREMENTS,
    payload=LOOSE_OBJECTS,
    resource=optional(RESOURCES),
    extensions=optional(LOOSE_OBJECTS),
    other=LOOSE_OBJECTS,
)
SETTLEMENTS = st.builds(
    x402.SettlementResponse,
    success=st.booleans(),
    transaction=TEXTS,
    network=NETWORKS,
    payer=optional(TEXTS),
    amount=optional(st.integers(0, 2**256 - 1)),
    error_reason=optional(TEXTS),
    error_message=optional(TEXTS),
    extensions=optional(LOOSE_OBJECTS),
    extra=optional(LOOSE_OBJECTS),
    other=LOOSE_OBJECTS,
)
VERIFIED = st.builds(
    x402.VerifyResponse,
    is_valid=st.booleans(),
    invalid_reason=optional(TEXTS),
    invalid_message=optional(TEXTS),
    payer=optional(TEXTS),
    extensions=optional(LOOSE_OBJECTS),
    extra=optional(LOOSE_OBJECTS),
    other=LOOSE_OBJECTS,
)


@given(REQUIRED)
def test_x402_required(required: x402.PaymentRequired) -> None:
    assert x402.PaymentRequired.parse(required.encode()) == required


@given(PAYLOADS)
def test_x402_payload(payload: x402.PaymentPayload) -> None:
    assert x402.PaymentPayload.parse(payload.encode()) == payload


@given(SETTLEMENTS, VERIFIED)
def test_x402_outcomes(settled: x402.SettlementResponse, verified: x402.VerifyResponse) -> None:
    assert x402.SettlementResponse.parse(settled.encode()) == settled
    assert x402.VerifyResponse.parse(verified.encode()) == verified


FIELD_KEYS = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,12}", fullmatch=True)
BARE = (
    st.booleans()
    | st.integers(-999_999_999_999_999, 999_999_999_999_999)
    | PRINTABLE
    | st.binary(max_size=20)
    | st.from_regex(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]{0,12}", fullmatch=True).map(Token)
)
PARAMETERS = st.dictionaries(FIELD_KEYS, BARE, max_size=4).map(lambda pairs: tuple(pairs.items()))
ITEMS = st.builds(Item, BARE, PARAMETERS)
MEMBERS = ITEMS | st.builds(InnerList, st.lists(ITEMS, max_size=4).map(tuple), PARAMETERS)


@given(st.dictionaries(FIELD_KEYS, MEMBERS, max_size=4))
def test_structured_fields(members: dict[str, Any]) -> None:
    text = format_dictionary(members)
    assert parse_dictionary(text, "field") == members
    assert format_dictionary(parse_dictionary(text, "field")) == text


NAMES = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'),
    min_size=1,
    max_size=40,
)
ORDERS = st.permutations(["created", "nonce", "keyid", "alg", "tag"]).map(tuple)
PARAMS = st.builds(httpsig.SignatureParams, NAMES, st.integers(0, 2**40 - 1), NAMES, ORDERS)


@given(FIELD_KEYS, PARAMS, SIGNATURES)
def test_request_signatures(label: str, params: httpsig.SignatureParams, signature: bytes) -> None:
    made = httpsig.RequestSignature(label, params, signature)
    assert httpsig.parse_signature(*made.headers().values()) == made


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_content_digests(body: bytes, other: bytes) -> None:
    httpsig.check_content_digest(httpsig.content_digest(body), body)
    if other != body:
        try:
            httpsig.check_content_digest(httpsig.content_digest(body), other)
        except errors.SignatureInvalid:
            return
        raise AssertionError("another body passed")


PROBLEMS = st.builds(
    Problem,
    type=TEXTS.filter(bool),
    title=TEXTS,
    status=st.integers(100, 599),
    detail=TEXTS,
    instance=TEXTS,
    extensions=LOOSE_OBJECTS,
)
FACT_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).filter(
    lambda name: name not in {"self", "detail", "hint"}
)
FACTS = st.dictionaries(FACT_NAMES, TEXTS | st.booleans() | INTEGERS, max_size=4)


@given(PROBLEMS)
def test_problems(problem: Problem) -> None:
    assert parse_problem(problem.encode()) == problem


@given(st.sampled_from(list(errors.error_classes())), TEXTS, TEXTS, FACTS)
def test_an_error_comes_back_as_the_same_class(
    cls: type[errors.AisaError], detail: str, hint: str, facts: dict[str, Any]
) -> None:
    error = cls(detail, hint=hint, **facts)
    back = error_of(parse_problem(problem_of(error).encode(), status=418))
    assert type(back) is (errors.Internal if cls is errors.AisaError else cls)
    assert (back.detail, back.hint, dict(back.facts)) == (error.detail, error.hint, facts)


TERMS = st.builds(
    aip.ChannelTerms,
    network=VISIBLE,
    holder=KEYS,
    payer=KEYS,
    payee=KEYS,
    currency=VISIBLE,
    salt=st.binary(min_size=16, max_size=16),
)
STATEMENTS = st.builds(
    aip.DepositStatement, KEYS, UNITS, st.integers(0, 1_000_000), SECONDS, SIGNATURES
)
SESSIONS = st.builds(
    aip.Session,
    KEYS,
    KEYS,
    KEYS,
    st.integers(0, 2**31),
    st.integers(1, 65_535),
    SECONDS,
    SIGNATURES,
)
VOUCHERS = st.builds(aip.Voucher, KEYS, UNITS, SECONDS, SIGNATURES)
ACTIONS = (
    st.builds(aip.OpenAction, TERMS, STATEMENTS, SESSIONS, VOUCHERS)
    | st.builds(aip.VoucherAction, VOUCHERS)
    | st.builds(aip.TopUpAction, STATEMENTS)
    | st.builds(aip.CloseAction, KEYS, SIGNATURES)
    | st.builds(aip.CloseLaneAction, KEYS, st.integers(0, 2**32 - 1), SIGNATURES)
)
REQUESTS = st.builds(
    aip.SessionRequest,
    amount=UNITS,
    currency=VISIBLE,
    scale=st.integers(0, 11),
    payee=KEYS,
    hubs=st.lists(
        st.builds(aip.Hub, KEYS.map(aip.hub_network), st.integers(0, 1_000_000)),
        min_size=1,
        max_size=8,
    ).map(tuple),
    payee_x25519=KEYS,
    x_expiry=SECONDS,
    x_signature=SIGNATURES,
    session_url=VISIBLE,
    deposit_min=UNITS,
    ceiling_step_max=UNITS,
)


@given(VOUCHERS)
def test_vouchers(voucher: aip.Voucher) -> None:
    assert aip.Voucher.decode(voucher.encode()) == voucher
    assert aip.Voucher.unpack(voucher.pack()) == voucher


@given(
    KEYS,
    st.integers(0, 2**32 - 1),
    st.integers(1, 2**63 - 1),
    UNITS,
    KEYS,
    KEYS,
    st.integers(0, 69 * 8 - 1),
)
def test_a_tick_admits_its_request_and_no_changed_one(
    channel: bytes, lane: int, seq: int, amount: int, key: bytes, digest: bytes, bit: int
) -> None:
    header = aip.Tick(channel, lane, seq, amount).seal(key, digest)
    tick = aip.Tick.decode(header)
    assert (tick.channel, tick.lane, tick.seq, tick.amount) == (channel, lane, seq, amount)
    assert tick.admits(key, digest)
    assert tick.encode() == header
    raw = bytearray(base64url.decode(header, bytes_max=69))
    raw[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(errors.MalformedMessage):
        assert not aip.Tick.decode(base64url.encode(bytes(raw))).admits(key, digest)


@given(ACTIONS)
def test_actions(action: aip.Action) -> None:
    assert aip.parse_action(aip.format_action(action)) == action


@given(REQUESTS)
def test_session_requests(request: aip.SessionRequest) -> None:
    assert aip.SessionRequest.parse(request.format()) == request
    assert jcs.canonical(strictjson.parse_json(request.format())) == request.format()


@given(st.lists(KEYS, min_size=1, max_size=40), st.data())
def test_a_path_leads_to_the_root_from_its_own_place_only(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    leaf = aip.ReceiptLeaf(leaves[index], 1, 2, 3, bytes(32), 200)
    hashes = [*leaves[:index], leaf.hash(), *leaves[index + 1 :]]
    proof = aip.ReceiptProof(
        leaf, index, len(hashes), aip.merkle_path(hashes, index), bytes(32), 1, bytes(64)
    )
    assert proof.root() == aip.merkle_root(hashes)
