"""Agent ids: an Ed25519 key written as a `did:key`.

Source: W3C CCG, The did:key Method; multicodec 0xed01, multibase base58btc.
"""

from __future__ import annotations

from typing import Final

from aisa.errors import MalformedMessage

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PREFIX: Final = "did:key:z"
_MULTICODEC: Final = b"\xed\x01"
_KEY_SIZE: Final = 32
_TEXT_MAX: Final = 64


def agent_id(public_key: bytes) -> str:
    """Return the `did:key` of a 32-byte Ed25519 public key."""
    number = int.from_bytes(_MULTICODEC + public_key)
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    return _PREFIX + "".join(reversed(digits))


def key_of_agent_id(text: str) -> bytes:
    """Return the Ed25519 public key that a `did:key` names.

    Raises:
        MalformedMessage: it is not a did:key of an Ed25519 key.
    """
    if not text.startswith(_PREFIX) or len(text) > _TEXT_MAX:
        raise MalformedMessage("the agent id is not a did:key of an Ed25519 key")
    number = 0
    for character in text[len(_PREFIX) :]:
        digit = _ALPHABET.find(character)
        if digit < 0:
            raise MalformedMessage("the agent id is not base58")
        number = number * 58 + digit
    raw = number.to_bytes(_TEXT_MAX).lstrip(b"\0")
    if len(raw) != len(_MULTICODEC) + _KEY_SIZE or not raw.startswith(_MULTICODEC):
        raise MalformedMessage("the agent id is not a did:key of an Ed25519 key")
    return raw[len(_MULTICODEC) :]
