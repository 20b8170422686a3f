"""Ed25519 signatures: the `Signer` port, a key in memory, and verification."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from aisa.errors import ConfigInvalid


class Signer(Protocol):
    """Something that signs as one Ed25519 key, in this process or in another."""

    @property
    def public_key(self) -> bytes:
        """The 32-byte public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""
        ...


class SigningKey:
    """An Ed25519 key held in this process's memory.

    Raises:
        ConfigInvalid: the seed is not 32 bytes.
    """

    __slots__ = ("_private", "_public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise ConfigInvalid("an Ed25519 seed has 32 bytes")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key().public_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """The 32-byte public key."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message`."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey(public_key={self._public.hex()})"


@lru_cache(maxsize=4096)
def _loaded(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is this key's over `message`; malformed keys and signatures are false."""
    try:
        _loaded(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
