"""Who sends a request: RFC 9421 signatures, each accepted once.

Nonces live in memory, in generations as long as the signature window. A signature made before this
process started is refused, because an earlier run may have accepted it; the client signs anew. In
the very second of the start a replay could pass, and would move nothing: every POST is idempotent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from aisa.errors import RateLimited, SignatureInvalid
from aisa.identity import verify_signature
from aisa.protocol import base64url
from aisa.protocol.frame import frame
from aisa.protocol.httpsig import WINDOW_S, SignatureParams, verify_request

GENERATIONS: Final = 3
"""A signature may come from 300 s ahead and stays valid 300 s behind: two whole windows and a part."""


class NonceTable:
    """Remembers nonces for as long as their signatures are valid; at most `size_max` of them."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._generations: dict[int, set[bytes]] = {}

    def claim(self, params: SignatureParams, now_s: int) -> None:
        """Note a nonce.

        Raises:
            SignatureInvalid: it was used before.
            RateLimited: the table is full.
        """
        current = now_s // WINDOW_S
        for old in [number for number in self._generations if number <= current - GENERATIONS]:
            del self._generations[old]
        name = hashlib.sha256(frame(params.keyid, params.nonce)).digest()[:16]
        if any(name in seen for seen in self._generations.values()):
            raise SignatureInvalid("the signature was used before", hint="sign with a new nonce")
        if sum(map(len, self._generations.values())) >= self._size_max:
            raise RateLimited("too many signed requests", retry_after_s=WINDOW_S)
        self._generations.setdefault(current, set()).add(name)


class Authenticator:
    """Checks signed requests against this node's own URLs.

    The URLs are its own words, never a header's: a request that was signed for another node and
    handed on does not verify here.
    """

    def __init__(self, nonces: NonceTable, *, clock: Callable[[], int]) -> None:
        self._nonces = nonces
        self._clock = clock
        self._started_s = clock() // 1000
        self._origins: tuple[str, ...] = ()

    def serve(self, origins: tuple[str, ...]) -> None:
        """Accept requests to these origins."""
        self._origins = origins

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins that requests may be signed for."""
        return self._origins

    def authenticate(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> bytes:
        """Return the key that signed a request; `headers` by lower-case name.

        Raises:
            SignatureInvalid: not signed, wrong, for another host, too old, or used before.
            MalformedMessage: a header does not follow the grammar.
        """
        host = headers.get("host", "").lower()
        candidates = [one for one in self._origins if one.partition("://")[2] == host]
        if not candidates:
            raise SignatureInvalid(
                f"this node is not {host[:80]!r}", hint="the operator sets public_urls"
            )
        params = self._verify(candidates, method, target, body, headers)
        if params.created_s < self._started_s:
            raise SignatureInvalid("the signature is older than this run", hint="sign again")
        self._nonces.claim(params, self._clock() // 1000)
        return _key_of(params.keyid)

    def _verify(
        self,
        origins: list[str],
        method: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
    ) -> SignatureParams:
        failure: SignatureInvalid | None = None
        for origin in origins:  # http and https of one host differ in what was signed
            try:
                return verify_request(
                    method,
                    origin + target,
                    body,
                    headers,
                    key_of=_key_of,
                    verify=verify_signature,
                    now_s=self._clock() // 1000,
                )
            except SignatureInvalid as error:
                failure = error
        raise failure or SignatureInvalid("the signature does not verify")


def _key_of(keyid: str) -> bytes:
    return base64url.decode_exact(keyid, "keyid", 32)
