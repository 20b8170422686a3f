"""Write httpsig_peer.json and jcs_peer.json with PyPI `http-message-signatures`, `rfc8785`, `pynacl`.

uv venv peer && uv pip install --python peer http-message-signatures rfc8785 pynacl requests
peer/bin/python tests/vectors/peers/messages.py tests/vectors
"""

from __future__ import annotations

import datetime
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import http_message_signatures as hms
import nacl.signing
import requests
import rfc8785

SEED = bytes(range(32))
KEY = nacl.signing.SigningKey(SEED)
CREATED = 1_795_309_432
COVERED = ("@method", "@target-uri", "content-digest")

REQUESTS: list[tuple[str, str, str, bytes]] = [
    ("a body", "POST", "https://node.example/v1/channels?dry=1", b'{"a":1}'),
    ("no body", "GET", "https://node.example:8443/v1/balances", b""),
    ("escapes in the path", "PUT", "http://127.0.0.1:8402/v1/a%20b;c/%E2%82%AC?x=%22", b"\x00\xff"),
]
DOCUMENTS: list[tuple[str, Any]] = [
    ("names in UTF-16 order", {"\U00010000": 1, "\ue000": 2, "a": 3, "": 4}),
    ("escapes", {"a": '\b\t\n\f\r"\\/\x00\x1f\x7f\u0080\u2028\u20ac\U0001f600'}),
    ("numbers", [0, -1, 9007199254740991, -9007199254740991, True, False, None]),
    ("nested and empty", {"b": {"d": [], "c": {}}, "a": [[{"z": "", "y": [1]}]]}),
    ("one string", "aiUSD"),
]


class Keys(hms.HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id: str) -> Any:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(SEED)

    def resolve_public_key(self, key_id: str) -> Any:
        return self.resolve_private_key(key_id).public_key()


def signed(description: str, method: str, url: str, body: bytes) -> dict[str, Any]:
    signer = hms.HTTPMessageSigner(signature_algorithm=hms.algorithms.ED25519, key_resolver=Keys())
    request = requests.Request(method, url, data=body).prepare()
    keyid = KEY.verify_key.encode().hex()
    arguments: dict[str, Any] = {
        "key_id": keyid,
        "created": datetime.datetime.fromtimestamp(CREATED, datetime.UTC),
        "nonce": "n-0001",
        "tag": "aisa",
        "label": "aisa",
        "covered_component_ids": COVERED,
        "body": body,
    }
    prepared = signer.prepare(request, **arguments)
    signer.sign(request, **arguments, use_existing_digest=True)
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else value
        for name, value in request.headers.items()
        if name.lower() in ("content-digest", "signature-input", "signature")
    }
    base = prepared.signature_base
    base = base if isinstance(base, bytes) else base.encode()
    assert request.url is not None
    return {
        "description": description,
        "seed": SEED.hex(),
        "public_key": keyid,
        "method": method,
        "target_uri": request.url,
        "body": body.hex(),
        "created": CREATED,
        "nonce": "n-0001",
        "keyid": keyid,
        "base": base.decode(),
        "signature": KEY.sign(base).signature.hex(),
        "headers": headers,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    name = "http-message-signatures"
    httpsig = {
        "description": "signed requests in AISA's profile as another implementation makes them",
        "source": f"{name} {version(name)}, pynacl {version('pynacl')}",
        "requests": [signed(*case) for case in REQUESTS],
    }
    jcs = {
        "description": "canonical JSON as another implementation writes it",
        "source": f"rfc8785 {version('rfc8785')}",
        "documents": [
            {"description": what, "value": value, "canonical": rfc8785.dumps(value).hex()}
            for what, value in DOCUMENTS
        ],
    }
    for file, document in (("httpsig_peer.json", httpsig), ("jcs_peer.json", jcs)):
        (folder / file).write_text(json.dumps(document, indent=2) + "\n")


main()
