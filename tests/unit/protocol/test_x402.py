from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from aisa.errors import MalformedMessage
from aisa.protocol import x402
from aisa.protocol.base64url import encode_standard

REQUIREMENTS: dict[str, Any] = {
    "scheme": "exact",
    "network": "eip155:84532",
    "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    "amount": "100",
    "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    "maxTimeoutSeconds": 300,
}


def required(**changes: Any) -> bytes:
    return json.dumps({"x402Version": 2, "accepts": [REQUIREMENTS], **changes}).encode()


def offer(**changes: Any) -> bytes:
    return required(accepts=[{**REQUIREMENTS, **changes}])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (required(x402Version=1), "x402Version"),
        (required(x402Version="2"), "x402Version"),
        (required(x402Version=None), "x402Version"),
        (required(accepts=None), "accepts"),
        (required(accepts={}), "accepts"),
        (required(accepts=[1]), "accepts"),
        (required(accepts=[None]), "accepts"),
        (required(accepts=[REQUIREMENTS] * 17), "accepts"),
        (required(resource=[]), "resource"),
        (required(resource={}), "url"),
        (required(resource={"url": "u", "tags": [1]}), "tags"),
        (required(resource={"url": "u", "tags": ["a"] * 17}), "tags"),
        (required(error=1), "error"),
        (required(extensions=[]), "extensions"),
        (offer(scheme="a b"), "scheme"),
        (offer(network="base-sepolia"), "network"),
        (offer(asset=""), "asset"),
        (offer(payTo="a b"), "payTo"),
        (offer(maxTimeoutSeconds="300"), "maxTimeoutSeconds"),
        (offer(maxTimeoutSeconds=-1), "maxTimeoutSeconds"),
        (offer(maxTimeoutSeconds=1.5), "maxTimeoutSeconds"),
        (offer(maxTimeoutSeconds=True), "maxTimeoutSeconds"),
        (offer(extra=[]), "extra"),
        *(
            (offer(amount=bad), "amount")
            for bad in (
                *(100, None, "", "-1", "+1", "01", "1.0", "1e2", "0x10", " 1", "NaN"),
                *(str(2**256), "9" * 79, "\u0661"),
            )
        ),
    ],
)
def test_a_refusal_names_the_field(body: bytes, field: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        x402.PaymentRequired.parse(body)
    assert str(refused.value.facts["field"]).endswith(field)


def test_an_echo_holds_what_we_do_not_know() -> None:
    body = offer(extra={"name": "USDC"}, assetTransferMethod="permit2", later={"a": [0.5, None]})
    chosen = x402.PaymentRequired.parse(body).accepts[0]
    payload = x402.PaymentPayload(chosen, {"signature": "0x"})
    echoed = json.loads(payload.encode())["accepted"]
    assert echoed == json.loads(body)["accepts"][0]


def test_a_missing_extra_stays_missing() -> None:
    assert "extra" not in x402.PaymentRequired.parse(offer()).accepts[0].to_json()
    assert x402.PaymentRequired.parse(offer(extra={})).accepts[0].to_json()["extra"] == {}


def test_an_unknown_member_cannot_hide_a_known_one() -> None:
    parsed = x402.PaymentRequired.parse(offer())
    forged = replace(parsed.accepts[0], other={"amount": "1", "extra": {}, "new": "kept"})
    assert forged.to_json() == {**REQUIREMENTS, "new": "kept"}


def test_outcomes_that_say_nothing_of_an_amount() -> None:
    body = b'{"success":true,"transaction":"","network":"eip155:1","amount":""}'
    assert x402.SettlementResponse.parse(body).amount is None
    for broken in (b"{}", body.replace(b"true", b"1"), body.replace(b'""}', b'"-1"}')):
        with pytest.raises(MalformedMessage):
            x402.SettlementResponse.parse(broken)
    with pytest.raises(MalformedMessage, match="isValid"):
        x402.VerifyResponse.parse(b'{"payer":"0x"}')


def test_headers_are_padded_base64_of_at_most_8_kib() -> None:
    value = encode_standard(offer())
    parsed = x402.parse_required(value)
    assert parsed.accepts[0].amount == 100
    for broken in (value.rstrip("="), value + "A", "?" + value[1:], "A" * 8_196):
        with pytest.raises(MalformedMessage, match="PAYMENT-REQUIRED"):
            x402.parse_required(broken)
    large = replace(parsed, error="x" * 2_000, extensions={"a": "x" * 5_000})
    with pytest.raises(MalformedMessage, match="PAYMENT-REQUIRED is longer than 8192"):
        x402.format_required(large)


def test_a_body_is_at_most_64_kib() -> None:
    parsed = x402.PaymentRequired.parse(offer())
    with pytest.raises(MalformedMessage, match="longer than 65536"):
        replace(parsed, extensions={"a": "x" * 70_000}).encode()
    with pytest.raises(MalformedMessage, match="longer than 65536"):
        x402.PaymentRequired.parse(required(error="x" * 70_000))
