"""Write mpp_evm_pympp.json with PyPI `pympp` 0.16.0 and `eth-account`, in an environment of its own.

uv venv peer && uv pip install --python peer pympp==0.16.0 eth-account
peer/bin/python tests/vectors/peers/pympp_evm.py tests/vectors/mpp_evm_pympp.json
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mpp
from eth_account import Account
from mpp.methods.evm import _eip3009
from mpp.methods.evm import client as evm

SECRET = "demo-secret"
CURRENCY = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
RECIPIENT = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
TOKEN = {"name": "USD Coin", "version": "2"}
CHAIN = 8453
PAYER = Account.from_key(hashlib.sha256(b"aisa evm vector payer").digest())
PAIRS = [
    ("an id and a realm", "VAY0lRjj_hZ30Z-EfTWAeI4s1yGweTcykBkv0cpA9bs", "api.example.com"),
    ("what JSON escapes", 'a"b\\c/d', "x\n\u00e9\u20ac\U0001f600\u007f"),
    ("nothing", "", ""),
]


def credential(description: str, **more: Any) -> dict[str, Any]:
    details = {"chainId": CHAIN, "credentialTypes": ["authorization"], "decimals": 6}
    request = {
        "amount": "100",
        "currency": CURRENCY,
        "recipient": RECIPIENT,
        "methodDetails": details,
        **more,
    }
    challenge = mpp.Challenge.create(
        secret_key=SECRET,
        realm="api.example.com",
        method="evm",
        intent="charge",
        request=request,
        expires="2026-12-01T00:05:00Z",
    )
    client = evm._config(
        currency=CURRENCY, chain_id=CHAIN, decimals=6, authorization=TOKEN, account=PAYER
    )
    made = asyncio.run(client.create_credential(challenge))
    return {
        "description": description,
        "secret": SECRET,
        "request": request,
        "www_authenticate": challenge.to_www_authenticate(challenge.realm),
        "token": TOKEN,
        "payer": PAYER.address,
        "payload": made.payload,
        "source": made.source,
        "value": made.to_authorization(),
    }


def main() -> None:
    document = {
        "description": "MPP evm/charge challenges and credentials as another implementation makes them",
        "source": f"pympp {version('pympp')}, eth-account {version('eth-account')}",
        "hashes": [
            {
                "description": description,
                "id": name,
                "realm": realm,
                "hash": _eip3009.challenge_hash(name, realm),
            }
            for description, name, realm in PAIRS
        ],
        "credentials": [
            credential("an authorization"),
            credential("what the seller adds is echoed", extra={"route": "/v1/rates"}),
        ],
    }
    Path(sys.argv[1]).write_text(json.dumps(document, indent=2) + "\n")


main()
