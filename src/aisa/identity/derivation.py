"""Child seeds: one root seed gives a separate key for every purpose and counterparty."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aisa.protocol.frame import frame


def derive_seed(root: bytes, purpose: str, *context: bytes | str) -> bytes:
    """Return the 32-byte seed for a purpose such as `"payer"` and its context (network, payee…).

    Children do not reveal one another or the root (HKDF-SHA-256, RFC 5869).
    """
    info = frame("AISA-DERIVE/1", purpose, *context)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(root)
