"""Write mpp_pympp.json with PyPI `pympp` 0.16.0, in an environment of its own.

uv venv peer && uv pip install --python peer pympp==0.16.0
peer/bin/python tests/vectors/peers/pympp.py tests/vectors/mpp_pympp.json
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mpp

SECRET = "demo-secret"
EVM = {
    "amount": "100",
    "currency": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    "recipient": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
}
AISA = {
    "amount": "100",
    "currency": "aiUSD",
    "methodDetails": {"depositMin": "1000", "hubs": [{"feePpmMax": 1000, "network": "aisa:k"}]},
    "recipient": "cGF5ZWU",
}

CHALLENGES: list[dict[str, Any]] = [
    {
        "description": "the worked example",
        "realm": "api.example.com",
        "method": "evm",
        "intent": "charge",
        "request": EVM,
        "expires": "2026-12-01T00:05:00Z",
    },
    {
        "description": "every parameter",
        "realm": "api.example.com",
        "method": "aisa",
        "intent": "session",
        "request": AISA,
        "expires": "2026-12-01T00:05:00Z",
        "digest": "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "meta": {"route": "/v1/rates"},
        "header": "Payment-Authorization",
        "text": "One rate, of the day",
    },
    {
        "description": "no optional parameter",
        "realm": "api.example.com",
        "method": "lightning",
        "intent": "charge",
        "request": {"amount": "1", "currency": "sat"},
    },
    {
        "description": "quotes, backslashes and characters outside ASCII in the description",
        "realm": "api.example.com",
        "method": "tempo",
        "intent": "charge",
        "request": {"amount": "1", "memo": "prix \u20ac \U0001f600 \u00e9", "z": None, "a": [True]},
        "text": 'a "quoted" \\ price in \u20ac, \U0001f600',
    },
    {
        "description": "the default header is not advertised",
        "realm": "api.example.com",
        "method": "evm",
        "intent": "charge",
        "request": EVM,
        "header": "authorization",
    },
]


def challenge(case: dict[str, Any]) -> dict[str, Any]:
    made = mpp.Challenge.create(
        secret_key=SECRET,
        realm=case["realm"],
        method=case["method"],
        intent=case["intent"],
        request=case["request"],
        expires=case.get("expires"),
        digest=case.get("digest"),
        description=case.get("text"),
        meta=case.get("meta"),
        header=case.get("header"),
    )
    credential = mpp.Credential(made.to_echo(), {"action": "close", "n": 1}, "did:key:zPayer")
    return {
        "description": case["description"],
        "secret": SECRET,
        "input": {name: value for name, value in case.items() if name != "description"},
        "id": made.id,
        "credential_header": made.credential_header,
        "www_authenticate": made.to_www_authenticate(made.realm),
        "credential": {
            "payload": {"action": "close", "n": 1},
            "source": "did:key:zPayer",
            "value": credential.to_authorization(),
        },
    }


def receipt(description: str, **fields: Any) -> dict[str, Any]:
    made = mpp.Receipt.success(timestamp=datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC), **fields)
    return {"description": description, "input": fields, "value": made.to_payment_receipt()}


def main() -> None:
    document = {
        "description": "MPP challenges, credentials and receipts as another implementation makes them",
        "source": f"pympp {version('pympp')}",
        "challenges": [challenge(case) for case in CHALLENGES],
        "receipts": [
            receipt("plain", reference="0xabc", method="evm"),
            receipt("with extensions", reference="", method="aisa", external_id="order-1"),
        ],
    }
    Path(sys.argv[1]).write_text(json.dumps(document, indent=2) + "\n")


main()
