"""x402 on EVM networks: what a payload must have, and what is refused by name."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from aisa.errors import MalformedMessage
from aisa.identity import SigningKey, verify_signature
from aisa.identity.evm_key import recover
from aisa.protocol import jcs, x402
from aisa.protocol.eip712 import Domain
from aisa.protocol.x402.attestation import (
    Attested,
    Jws,
    OfferTerms,
    offers_extension,
    read_offers,
    read_receipt,
    receipt_extension,
    sign_jws,
)
from aisa.protocol.x402.batch import ChannelConfig
from aisa.protocol.x402.batch_payload import RefundPayload, read_batch_payload
from aisa.protocol.x402.batch_state import (
    BatchAnswer,
    BatchExtra,
    ChannelSnapshot,
    VoucherSnapshot,
)
from aisa.protocol.x402.bazaar import Discovery, HttpInput, McpInput
from aisa.protocol.x402.exact import UPTO, read_exact_payload
from tests.vectors import evm
from tests.vectors.files import read_vectors

SDK = read_vectors("x402_evm_sdk.json")
EIP3009, PERMIT2, UPTO_PAID = (case["payload"] for case in SDK["exact"])
DEPOSIT, THROUGH, VOUCHER, REFUND, CLAIM, ENRICHED, SETTLE = SDK["batch"][0]["payloads"]


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the document with one member set; a value of `...` takes it away."""
    document = copy.deepcopy(document)
    *way, last = path.split(".")
    at: Any = document
    for name in way:
        at = at[int(name)] if name.isdigit() else at[name]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return document


@pytest.mark.parametrize(
    ("payload", "path", "value", "named"),
    [
        (EIP3009, "authorization.from", ..., "authorization.from is missing"),
        (EIP3009, "authorization.to", "0x12", "authorization.to is not an address"),
        (EIP3009, "authorization.value", "1" * 79, "value is longer"),
        (EIP3009, "authorization.value", str(2**256), "value is not a string of digits"),
        (EIP3009, "authorization.value", "01", "value is not a string of digits"),
        (EIP3009, "authorization.value", 100, "value is not a string"),
        (EIP3009, "authorization.nonce", "0x" + "00" * 31, "nonce has 31 bytes, not 32"),
        (EIP3009, "signature", ..., "signature is missing"),
        (EIP3009, "signature", "0x" + "ab" * 9000, "signature is longer"),
        (EIP3009, "permit2Authorization", {}, "not exactly one of"),
        (EIP3009, "authorization", ..., "not exactly one of"),
        (PERMIT2, "permit2Authorization.witness", ..., "witness is missing"),
        (PERMIT2, "permit2Authorization.witness.facilitator", "0x" + "0" * 40, "does not suit"),
        (PERMIT2, "permit2Authorization.permitted.token", None, "permitted.token is missing"),
    ],
)
def test_an_exact_payload_is_whole(
    payload: dict[str, Any], path: str, value: Any, named: str
) -> None:
    with pytest.raises(MalformedMessage, match=named):
        read_exact_payload(changed(payload, path, value))


def test_upto_needs_a_facilitator_and_permit2() -> None:
    assert read_exact_payload(UPTO_PAID, scheme=UPTO).to_json() == UPTO_PAID
    with pytest.raises(MalformedMessage, match="does not suit the scheme exact"):
        read_exact_payload(UPTO_PAID)
    with pytest.raises(MalformedMessage, match="does not suit the scheme upto"):
        read_exact_payload(PERMIT2, scheme=UPTO)
    with pytest.raises(MalformedMessage, match="upto needs"):
        read_exact_payload(EIP3009, scheme=UPTO)


@pytest.mark.parametrize(
    ("payload", "path", "value", "named"),
    [
        (VOUCHER, "type", "vouchers", "payload.type is not"),
        (VOUCHER, "type", ..., "payload.type is missing"),
        (VOUCHER, "channelConfig", ..., "channelConfig is missing"),
        (VOUCHER, "channelConfig.withdrawDelay", "900", "withdrawDelay is not an integer"),
        (VOUCHER, "channelConfig.withdrawDelay", 2**40, "withdrawDelay is not from"),
        (VOUCHER, "voucher.maxClaimableAmount", str(2**128), "maxClaimableAmount is not"),
        (VOUCHER, "voucher.channelId", "0x12", "channelId has 1 bytes"),
        (DEPOSIT, "deposit.amount", str(2**128), "deposit.amount is not"),
        (DEPOSIT, "deposit.authorization.permit2Authorization", {}, "not exactly one"),
        (DEPOSIT, "deposit.authorization", {}, "not exactly one"),
        (DEPOSIT, "deposit.authorization.erc3009Authorization", [], "is not an object"),
        (THROUGH, "deposit.authorization.permit2Authorization.witness", {}, "channelId is missing"),
        (CLAIM, "claims", ..., "claims is missing"),
        (CLAIM, "claims", [CLAIM["claims"][0]] * 101, "claims has more than 100"),
        (CLAIM, "claims", ["claim"], "not an object"),
        (CLAIM, "claims.0.totalClaimed", -1, "totalClaimed is not a string"),
        (SETTLE, "token", ..., "token is missing"),
    ],
)
def test_a_batch_payload_is_whole(
    payload: dict[str, Any], path: str, value: Any, named: str
) -> None:
    with pytest.raises(MalformedMessage, match=named):
        read_batch_payload(changed(payload, path, value))


def test_a_refund_says_no_more_than_its_payer_did() -> None:
    refund = read_batch_payload(changed(REFUND, "amount", ...))
    assert isinstance(refund, RefundPayload)
    assert (refund.amount, refund.nonce, refund.claims) == (None, None, None)
    assert refund.to_json() == changed(REFUND, "amount", ...)
    without = changed(changed(CLAIM, "claimAuthorizerSignature", ...), "claims", [])
    assert read_batch_payload(without).to_json() == without


def test_who_signs_vouchers() -> None:
    own = ChannelConfig(**{
        **{name: getattr(evm.CONFIG, name) for name in ChannelConfig.__dataclass_fields__},
        "payer_authorizer": bytes(20),
    })  # fmt: skip
    assert evm.CONFIG.voucher_key == evm.VOUCHERS.address
    assert own.voucher_key == evm.PAYER.address


def test_numbers_in_a_state_may_be_digits_or_integers() -> None:
    state = {"channelId": "0x" + "00" * 32, "balance": 12, "totalClaimed": "3", "refundNonce": 4}
    snapshot = BatchAnswer.read({"channelState": state, "chargedAmount": 5})
    assert snapshot == BatchAnswer(5, ChannelSnapshot(bytes(32), 12, 3, 0, 4))
    assert BatchAnswer.read(None) == BatchAnswer()
    for wrong in (-1, 1.5, True, "1.5", 2**53):
        with pytest.raises(MalformedMessage, match=r"channelState\.balance"):
            BatchAnswer.read({"channelState": {**state, "balance": wrong}})
    with pytest.raises(MalformedMessage, match="receiverAuthorizer is missing"):
        BatchExtra.read(None)


def test_a_corrective_offer_is_read_as_it_was_written() -> None:
    extra = BatchExtra(
        evm.SELLER,
        900,
        x402.TokenExtra("USD Coin", "2", "permit2", "escrow"),
        1000,
        ChannelSnapshot(evm.CHANNEL, 1000, 0, 0, 0, 4200),
        VoucherSnapshot(4200, bytes(65)),
    )
    assert BatchExtra.read(extra.to_json()) == extra
    assert extra.to_json()["paymentFlow"] == "escrow"


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (None, "extra.name is missing"),
        ({"name": "a"}, "extra.version is missing"),
        ({"name": "a", "version": "1", "paymentFlow": "later"}, "paymentFlow is not an order"),
        ({"name": "a", "version": "1", "assetTransferMethod": "a b"}, "assetTransferMethod"),
    ],
)
def test_a_tokens_domain_is_whole(extra: Any, named: str) -> None:
    with pytest.raises(MalformedMessage, match=named):
        x402.TokenExtra.read(extra)
    token = x402.TokenExtra("AISA USD", "1")
    assert token.to_json() == {"name": "AISA USD", "version": "1"}
    assert token.domain(1, evm.TOKEN) == Domain("AISA USD", "1", 1, evm.TOKEN)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"extensions": []}, "kinds is missing"),
        ({"kinds": [1]}, "not an object"),
        ({"kinds": [{"x402Version": 2, "scheme": "a b", "network": "eip155:1"}]}, "scheme"),
        ({"kinds": [], "signers": {"eip155": []}}, "not a family"),
        ({"kinds": [], "signers": {"eip155:*": [1]}}, "not a string"),
        ({"kinds": [], "signers": {f"eip155:{n}": [] for n in range(33)}}, "more than 32"),
        ({"kinds": [], "extensions": ["a b"]}, "characters"),
    ],
)
def test_what_a_facilitator_supports_is_bounded(document: dict[str, Any], named: str) -> None:
    with pytest.raises(MalformedMessage, match=named):
        x402.Supported.parse(json.dumps(document).encode())


def test_kinds_of_the_first_version_are_passed_over() -> None:
    kinds = [{"x402Version": 1, "scheme": "exact", "network": "base"}]
    kinds.append({"x402Version": 2, "scheme": "exact", "network": "eip155:1"})
    supported = x402.Supported.parse(json.dumps({"kinds": kinds}).encode())
    assert supported == x402.Supported((x402.SupportedKind("exact", "eip155:1"),))


def test_a_facilitators_request_names_what_is_wrong() -> None:
    body = json.loads(SDK["facilitator"][0]["body"])
    for path, value, named in (
        ("x402Version", 1, "x402Version"),
        ("paymentPayload.x402Version", 1, r"paymentPayload\.x402Version"),
        ("paymentPayload.accepted.amount", "-1", r"paymentPayload\.accepted\.amount"),
        ("paymentRequirements", ..., "paymentRequirements is missing"),
    ):
        with pytest.raises(MalformedMessage, match=named):
            x402.FacilitatorRequest.parse(json.dumps(changed(body, path, value)).encode())


def test_a_payments_name() -> None:
    assert x402.PaymentIdentifier.read(None) is None
    assert x402.PaymentIdentifier.read({"payment-identifier": None}) is None
    asked = x402.PaymentIdentifier(required=False)
    assert x402.PaymentIdentifier.read({"payment-identifier": asked.to_json()}) == asked
    for wrong in ("short", "x" * 129, "sixteen letters!!"):
        with pytest.raises(MalformedMessage, match=r"info\.id"):
            x402.PaymentIdentifier.read(
                {"payment-identifier": {"info": {"required": True, "id": wrong}}}
            )
    with pytest.raises(MalformedMessage, match=r"info\.required"):
        x402.PaymentIdentifier.read({"payment-identifier": {"info": {}}})


@pytest.mark.parametrize(
    "told",
    [
        Discovery(HttpInput("GET", {"city": "Basel"}, {"id": "1"}, {"accept": "text/csv"})),
        Discovery(HttpInput("POST", body_type="text", body="hello"), "text", "21"),
        Discovery(McpInput("rates", {"type": "object"}, "Rates", "sse", {"city": "Basel"})),
    ],
)
def test_a_listing_is_read_as_it_was_written(told: Discovery) -> None:
    written = told.to_json()
    assert Discovery.read({"bazaar": written}) == told
    info, schema = written["info"], written["schema"]
    assert isinstance(info, dict)
    assert isinstance(schema, dict)
    assert set(schema["properties"]) == set(info)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"type": "ftp"}, "neither http nor mcp"),
        ({"type": "http", "method": "POST"}, "not one of GET"),
        ({"type": "http", "method": "GET", "bodyType": "json"}, "not one of POST"),
        ({"type": "http", "bodyType": "xml"}, "not one of json"),
        ({"type": "mcp", "toolName": "a", "inputSchema": {}, "transport": "tcp"}, "transport"),
        ({"type": "mcp", "toolName": "a"}, "inputSchema is missing"),
    ],
)
def test_a_listing_names_what_is_wrong(given: dict[str, Any], named: str) -> None:
    with pytest.raises(MalformedMessage, match=named):
        Discovery.read({"bazaar": {"info": {"input": given}}})
    assert Discovery.read({}) is None


REQUIREMENTS = x402.PaymentRequirements("exact", evm.NETWORK, "0xa", 100, "0xb", 60)


def test_a_signed_offer_and_receipt() -> None:
    offer = OfferTerms.of(REQUIREMENTS, evm.URL, evm.AT)
    by_account = Attested(offer, evm.PAYER.sign(offer.digest()))
    key = SigningKey(evm.seed("jws"))
    by_jws = sign_jws(offer, "did:key:z6Mk#z6Mk", key.sign)
    read = read_offers({"offer-receipt": offers_extension([by_account, by_jws])})
    assert read == (by_account, by_jws)
    assert isinstance(read[0].signature, bytes)
    assert recover(read[0].terms.digest(), read[0].signature) == evm.PAYER.address
    jws = read[1].signature
    assert isinstance(jws, Jws)
    assert (jws.algorithm, jws.key) == ("EdDSA", "did:key:z6Mk#z6Mk")
    assert verify_signature(key.public_key, jws.signing_input.encode(), jws.signature)
    receipt = Attested(evm.RECEIPT, evm.PAYER.sign(evm.RECEIPT.digest()))
    assert read_receipt({"offer-receipt": receipt_extension(receipt)}) == receipt
    assert read_offers(None) == ()
    assert read_receipt({"another": {}}) is None


def test_terms_without_an_end() -> None:
    offer = OfferTerms.of(REQUIREMENTS, evm.URL)
    assert "validUntil" not in offer.to_json()
    written = offers_extension([Attested(offer, bytes(65))])
    assert read_offers({"offer-receipt": written})[0].terms == offer


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("format", "pgp", "neither eip712 nor jws"),
        ("payload", ..., "payload is missing"),
        ("payload.version", 2, "version is not from 1 to 1"),
        ("payload.network", "base", "network"),
        ("signature", "0x" + "00" * 64, "has 64 bytes, not 65"),
        ("format", "jws", "is not a compact JWS"),
    ],
)
def test_a_broken_attestation_is_refused(path: str, value: Any, named: str) -> None:
    written = offers_extension([Attested(evm.OFFER, bytes(65))])
    broken = changed({"offer-receipt": written}, f"offer-receipt.info.offers.0.{path}", value)
    with pytest.raises(MalformedMessage, match=named):
        read_offers(broken)


def test_a_jws_has_a_header_and_terms() -> None:
    good = sign_jws(evm.RECEIPT, "kid", lambda _: b"\x01").signature
    assert isinstance(good, Jws)
    head, payload, signature = good.encode().split(".")
    for broken in (
        f"{head}.{head}.{signature}",
        f"{payload}.{payload}.",
        f"e30.{payload}.",
        "....",
    ):
        written = {"info": {"receipt": {"format": "jws", "signature": broken}}}
        with pytest.raises(MalformedMessage):
            read_receipt({"offer-receipt": written})
    assert jcs.canonical(evm.RECEIPT.to_json())
