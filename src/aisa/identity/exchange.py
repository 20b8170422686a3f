"""The shared keys of a session: X25519, then HKDF-SHA-256 over the session's hash."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aisa.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The MAC keys that both ends of a session derive: one for ticks, one for receipts."""

    tick: bytes = field(repr=False)
    receipt: bytes = field(repr=False)


class ExchangeKey:
    """An X25519 key held in this process's memory, made from a 32-byte seed."""

    __slots__ = ("_private", "_public")

    def __init__(self, seed: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key().public_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """The 32-byte public key."""
        return self._public

    def session_keys(self, other_public_key: bytes, session_hash: bytes) -> SessionKeys:
        """Return the keys shared with the owner of `other_public_key` for one session.

        Raises:
            MalformedMessage: the other key is not a point that gives a shared secret.
        """
        try:
            secret = self._private.exchange(X25519PublicKey.from_public_bytes(other_public_key))
        except ValueError as error:
            raise MalformedMessage("the X25519 key gives no shared secret") from error
        okm = HKDF(algorithm=SHA256(), length=64, salt=None, info=session_hash).derive(secret)
        return SessionKeys(tick=okm[:32], receipt=okm[32:])

    def __repr__(self) -> str:
        return f"ExchangeKey(public_key={self._public.hex()})"
