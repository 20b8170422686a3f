"""Offers and payments as they stand in headers: read, changed behind the payer's back, put back.

To try what a seller must refuse, a payer is shown an offer that was changed, signs it honestly, and
the seller is then told that the payment answers the offer which the seller made.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import httpx2

from tests.interop.scheme import Scheme

Headers = dict[str, str]
_REASON_CHARS = 200


class Dialect(Protocol):
    """What is different between x402 and MPP."""

    def offer(self, answer: httpx2.Response, scheme: Scheme) -> str:
        """The seller's offer of a scheme, out of a 402."""
        ...

    def changed(self, offer: str, *, units: int = 0, pay_to: str = "", seconds: int = 0) -> str:
        """The same offer with another price, another payee, or for so many seconds only."""
        ...

    def as_answer_to(self, offer: str, signed: Headers) -> Headers:
        """The payment, made out as an answer to this offer."""
        ...

    def transaction(self, receipt: str) -> str:
        """The chain tx that a receipt names."""
        ...

    def reason(self, answer: httpx2.Response) -> str:
        """Why a payment was refused, in the seller's words."""
        ...


class X402:
    """Version 2 of x402."""

    def offer(self, answer: httpx2.Response, scheme: Scheme) -> str:
        required = _unpacked(answer.headers["PAYMENT-REQUIRED"])
        method = "permit2" if scheme.path == "/permit2" else "eip3009"
        required["accepts"] = [
            one
            for one in required["accepts"]
            if one["extra"].get("assetTransferMethod", "eip3009") == method
        ][:1]
        return _packed(required)

    def changed(self, offer: str, *, units: int = 0, pay_to: str = "", seconds: int = 0) -> str:
        required = _unpacked(offer)
        [accepted] = required["accepts"]
        accepted["amount"] = str(units or accepted["amount"])
        accepted["payTo"] = pay_to or accepted["payTo"]
        accepted["maxTimeoutSeconds"] = seconds or accepted["maxTimeoutSeconds"]
        return _packed(required)

    def as_answer_to(self, offer: str, signed: Headers) -> Headers:
        [(name, value)] = signed.items()
        payment = _unpacked(value)
        [payment["accepted"]] = _unpacked(offer)["accepts"]
        return {name: _packed(payment)}

    def transaction(self, receipt: str) -> str:
        return str(_unpacked(receipt)["transaction"])

    def reason(self, answer: httpx2.Response) -> str:
        for header, member in (("PAYMENT-RESPONSE", "errorReason"), ("PAYMENT-REQUIRED", "error")):
            if found := answer.headers.get(header):
                return str(_unpacked(found).get(member, ""))
        return answer.text[:_REASON_CHARS]


class Mpp:
    """The `Payment` scheme of HTTP authentication."""

    def offer(self, answer: httpx2.Response, scheme: Scheme) -> str:
        challenges = answer.headers.get_list("WWW-Authenticate")
        return next(one for one in challenges if 'method="evm"' in one)

    def changed(self, offer: str, *, units: int = 0, pay_to: str = "", seconds: int = 0) -> str:
        request = _unpacked(_parameter(offer, "request"))
        request["amount"] = str(units or request["amount"])
        request["recipient"] = pay_to or request["recipient"]
        changed = _with(offer, "request", _url_packed(request))
        if seconds:
            until = datetime.now(UTC) + timedelta(seconds=seconds)
            changed = _with(changed, "expires", until.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
        return changed

    def as_answer_to(self, offer: str, signed: Headers) -> Headers:
        [(name, value)] = signed.items()
        credential = _unpacked(value.removeprefix("Payment "))
        for slot in ("request", "expires"):
            credential["challenge"][slot] = _parameter(offer, slot)
        return {name: f"Payment {_url_packed(credential)}"}

    def transaction(self, receipt: str) -> str:
        return str(_unpacked(receipt)["reference"])

    def reason(self, answer: httpx2.Response) -> str:
        return str(answer.json().get("detail", ""))[:_REASON_CHARS]


DIALECTS: Mapping[str, Dialect] = {"x402": X402(), "mpp": Mpp()}


def _unpacked(text: str) -> Any:
    """JSON out of base64 of either alphabet, padded or not."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    return json.loads(base64.b64decode(plain + "=" * (-len(plain) % 4)))


def _packed(value: object) -> str:
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def _url_packed(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _parameter(challenge: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', challenge)
    assert found, f"the challenge has no {name}"
    return found[1]


def _with(challenge: str, name: str, value: str) -> str:
    return re.sub(rf'\b{name}="[^"]*"', f'{name}="{value}"', challenge)
