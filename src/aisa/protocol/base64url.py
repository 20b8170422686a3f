"""Base64 in exactly one spelling per value: base64url without padding, standard base64 with it."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from aisa.protocol.strictjson import malformed

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
# What only standard base64 has becomes a letter that the decoder refuses.
_FROM_URL: Final = bytes.maketrans(b"-_+/=", b"+/***")
_PADDING: Final = (b"", b"===", b"==", b"=")


def encode(data: bytes) -> str:
    """Return base64url without padding (RFC 4648, 5)."""
    # Ticks and receipts pass here: `base64.urlsafe_b64encode` takes twice as long.
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def decode(text: str, what: str = "base64url", *, bytes_max: int) -> bytes:
    """Return the bytes that unpadded base64url text stands for.

    Raises:
        MalformedMessage: padding, another alphabet, stray trailing bits, or more than `bytes_max`.
    """
    if len(text) > -(-bytes_max * 4 // 3):
        raise malformed(what, f"is longer than {bytes_max} bytes")
    try:
        raw = text.encode("ascii").translate(_FROM_URL)
        rest = len(raw) & 3
        data = binascii.a2b_base64(raw + _PADDING[rest], strict_mode=True)
    except ValueError:
        raise malformed(what, "is not base64url") from None
    # Whole groups have one spelling. Of others the decoder ignores the trailing bits; we do not.
    if rest and encode(data) != text:
        raise malformed(what, "is not unpadded, canonical base64url")
    return data


def decode_exact(text: str, what: str, size: int) -> bytes:
    """Return the `size` bytes that unpadded base64url text stands for.

    Raises:
        MalformedMessage: as `decode`, or another size; names `what`.
    """
    data = decode(text, what, bytes_max=size)
    if len(data) != size:
        raise malformed(what, f"has {len(data)} bytes, not {size}")
    return data


def encode_standard(data: bytes) -> str:
    """Return standard base64 with padding (RFC 4648, 4), as x402 writes it."""
    return base64.b64encode(data).decode("ascii")


def decode_standard(text: str, what: str = "base64", *, bytes_max: int) -> bytes:
    """Return the bytes that padded standard base64 text stands for.

    Raises:
        MalformedMessage: no padding, another alphabet, stray trailing bits, or more than `bytes_max`.
    """
    if len(text) > -(-bytes_max // 3) * 4:
        raise malformed(what, f"is longer than {bytes_max} bytes")
    try:
        data = base64.b64decode(text)
    except (ValueError, binascii.Error):
        raise malformed(what, "is not base64") from None
    if encode_standard(data) != text:
        raise malformed(what, "is not padded, canonical base64")
    return data
