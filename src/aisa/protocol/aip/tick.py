"""Tick: one call's payment inside a ceiling, 69 bytes, 92 characters.

This is the hot path of every paid call on both sides: one struct, one HMAC.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from functools import lru_cache
from typing import Final

import msgspec

from aisa.errors import MalformedMessage
from aisa.protocol import base64url

_HEAD: Final = struct.Struct(">B32sIQQ")
_VERSION: Final = 1
MAC_SIZE: Final = 16
HEAD_SIZE: Final = _HEAD.size
SIZE: Final = HEAD_SIZE + MAC_SIZE
TEXT_SIZE: Final = SIZE // 3 * 4
EMPTY_BODY_DIGEST: Final = hashlib.sha256(b"").digest()
_REQUEST: Final = b"AISA-REQUEST/1"
_TARGET_KEPT_MAX: Final = 512


def request_digest(method: bytes, origin: bytes, target: bytes, body_digest: bytes) -> bytes:
    """Return the digest that a tick pays for.

    `origin` is the seller's configured public origin (`https://api.example`), `target` the raw
    path and query as sent, `body_digest` SHA-256 of the body.
    """
    if body_digest == EMPTY_BODY_DIGEST and len(target) <= _TARGET_KEPT_MAX:
        return _bodyless_digest(method, origin, target)
    return _digest(method, origin, target, body_digest)


def _digest(method: bytes, origin: bytes, target: bytes, body_digest: bytes) -> bytes:
    lengths = struct.pack(">HHI", len(method), len(origin), len(target))
    return hashlib.sha256(
        b"".join((_REQUEST, lengths, method, origin, target, body_digest))
    ).digest()


@lru_cache(maxsize=4096)
def _bodyless_digest(method: bytes, origin: bytes, target: bytes) -> bytes:
    """The digest of a call that both ends see again and again; long targets are not kept."""
    return _digest(method, origin, target, EMPTY_BODY_DIGEST)


class Tick(msgspec.Struct, frozen=True, gc=False):
    """At most `amount` units for call number `seq` (from 1) of `lane`, on one channel."""

    channel: bytes
    lane: int
    seq: int
    amount: int
    mac: bytes = b""

    def head(self) -> bytes:
        """The 53 bytes that the MAC covers together with the request's digest."""
        try:
            return _HEAD.pack(_VERSION, self.channel, self.lane, self.seq, self.amount)
        except struct.error as error:
            raise MalformedMessage(f"a tick's field is out of range: {error}") from error

    def seal(self, tick_key: bytes, digest: bytes) -> str:
        """Return the `Payment-Tick` header for the request with this digest."""
        head = self.head()
        mac = hmac.digest(tick_key, head + digest, "sha256")[:MAC_SIZE]
        return base64url.encode(head + mac)

    def admits(self, tick_key: bytes, digest: bytes) -> bool:
        """Whether the MAC is the session's over this tick and the request with this digest."""
        expected = hmac.digest(tick_key, self.head() + digest, "sha256")[:MAC_SIZE]
        return hmac.compare_digest(expected, self.mac)

    def encode(self) -> str:
        """The `Payment-Tick` header of a tick that carries its MAC."""
        return base64url.encode(self.head() + self.mac)

    @classmethod
    def decode(cls, text: str) -> Tick:
        """Read a `Payment-Tick` header; the MAC is not checked here.

        Raises:
            MalformedMessage: another size or version, seq 0, or a number of 2^63 and above.
        """
        raw = base64url.decode_exact(text, "Payment-Tick", SIZE)
        version, channel, lane, seq, amount = _HEAD.unpack_from(raw)
        if version != _VERSION:
            raise MalformedMessage(f"tick version {version} is not {_VERSION}")
        if not 0 < seq < 2**63 or amount >= 2**63:
            raise MalformedMessage("a tick's seq and amount must be below 2^63, its seq above 0")
        return cls(channel, lane, seq, amount, raw[HEAD_SIZE:])
