"""Write x402_sdk.json with PyPI `x402` 2.25.0, in an environment of its own.

uv venv peer && uv pip install --python peer x402==2.25.0
peer/bin/python tests/vectors/peers/x402.py tests/vectors/x402_sdk.json
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

# The folder of this script holds a file of the package's own name.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent]

from x402 import schemas  # noqa: E402
from x402.http import utils  # noqa: E402

EXACT = {
    "scheme": "exact",
    "network": "eip155:84532",
    "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    "amount": "100",
    "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    "maxTimeoutSeconds": 300,
    "extra": {"name": "USDC", "version": "2"},
}
BATCH = {
    "scheme": "batch-settlement",
    "network": "eip155:8453",
    "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    "amount": "42",
    "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    "maxTimeoutSeconds": 60,
    "extra": {"minDeposit": "1000", "withdrawDelay": 900, "rate": 0.5},
}
SVM = {
    "scheme": "exact",
    "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
    "asset": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    "amount": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
    "payTo": "2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4",
    "maxTimeoutSeconds": 0,
    "extra": {},
}
RESOURCE = {
    "url": "http://api.example/paid",
    "description": "One rate",
    "mimeType": "application/json",
    "serviceName": "Rates",
    "tags": ["fx", "ecb"],
    "iconUrl": "https://api.example/icon.png",
}
VOUCHER = {
    "type": "voucher",
    "channelConfig": {"payer": "0x1", "withdrawDelay": 900},
    "voucher": {"channelId": "0x2", "maxClaimableAmount": "4200", "signature": "0x3"},
}
AUTHORIZATION = {
    "signature": "0x" + "ab" * 65,
    "authorization": {"from": "0x1", "to": "0x2", "value": "100", "validAfter": "0"},
}

REQUIRED: list[tuple[str, dict[str, Any]]] = [
    ("one offer", {"x402Version": 2, "error": "Payment required", "accepts": [EXACT]}),
    (
        "several offers, a resource and an extension",
        {
            "x402Version": 2,
            "error": "Payment required",
            "resource": RESOURCE,
            "accepts": [EXACT, BATCH, SVM],
            "extensions": {"bazaar": {"info": {"input": {"type": "http"}}, "schema": {"a": [1]}}},
        },
    ),
    ("no offer", {"x402Version": 2, "accepts": []}),
]
PAYLOADS: list[tuple[str, dict[str, Any]]] = [
    ("EIP-3009", {"x402Version": 2, "payload": AUTHORIZATION, "accepted": EXACT}),
    (
        "a voucher, with the resource and an identifier",
        {
            "x402Version": 2,
            "payload": VOUCHER,
            "accepted": BATCH,
            "resource": {"url": "http://api.example/paid"},
            "extensions": {"payment-identifier": {"info": {"required": True, "id": "x" * 16}}},
        },
    ),
]
SETTLED: list[tuple[str, dict[str, Any]]] = [
    (
        "settled",
        {
            "success": True,
            "payer": "0x1",
            "transaction": "0x" + "cd" * 32,
            "network": "eip155:84532",
            "amount": "100",
        },
    ),
    (
        "a voucher that moved nothing on the chain",
        {
            "success": True,
            "transaction": "",
            "network": "eip155:8453",
            "amount": "",
            "extra": {"chargedAmount": "42", "channelState": {"balance": "1000"}},
        },
    ),
    (
        "refused",
        {
            "success": False,
            "errorReason": "insufficient_funds",
            "errorMessage": "the payer holds 12 of 100 \u20ac",
            "transaction": "",
            "network": "eip155:84532",
        },
    ),
]
VERIFIED: list[tuple[str, dict[str, Any]]] = [
    ("valid", {"isValid": True, "payer": "0x1"}),
    ("not valid", {"isValid": False, "invalidReason": "invalid_scheme", "invalidMessage": "no"}),
]


def cases(
    model: Any, encode: Any, inputs: list[tuple[str, dict[str, Any]]]
) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for description, document in inputs:
        parsed = model.model_validate(document)
        body = parsed.model_dump_json(by_alias=True, exclude_none=True)
        case = {"description": description, "input": document, "body": body}
        if encode is not None:
            case["header"] = encode(parsed)
        made.append(case)
    return made


def main() -> None:
    document = {
        "description": "x402 v2 objects and headers as the official SDK makes them",
        "source": f"x402 {version('x402')}",
        "required": cases(schemas.PaymentRequired, utils.encode_payment_required_header, REQUIRED),
        "payload": cases(schemas.PaymentPayload, utils.encode_payment_signature_header, PAYLOADS),
        "settlement": cases(schemas.SettleResponse, utils.encode_payment_response_header, SETTLED),
        "verify": cases(schemas.VerifyResponse, None, VERIFIED),
    }
    Path(sys.argv[1]).write_text(json.dumps(document, indent=2) + "\n")


main()
