"""Who sends a request: RFC 9421 signatures, each accepted once.

Nonces live in memory, in generations as long as the signature window. A signature made before this
process started is refused, because an earlier run may have accepted it; the client signs anew. In
the very second of the start a replay could pass, and would move nothing: every POST is idempotent.

Signing costs a stranger nothing, so strangers must not crowd out those who have money here: they
have a share of the nonce table of their own, and each peer address only so many requests. Where a
share is full all the same, requests that are safe to repeat pass with their nonce forgotten: to
refuse a payee while the closing clock of its channel runs would cost it money, a replay costs nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from aisa.errors import RateLimited, SignatureInvalid
from aisa.identity import verify_signature
from aisa.node.standing import Standing
from aisa.paywall.limiter import UnpaidLimiter, peer_name
from aisa.protocol import base64url
from aisa.protocol.frame import frame
from aisa.protocol.httpsig import WINDOW_S, SignatureParams, verify_request

GENERATIONS: Final = 3
"""A signature may come from 300 s ahead and stays valid 300 s behind: two whole windows and a part."""


class NonceTable:
    """Remembers nonces for as long as their signatures are valid; at most `size_max` of them.

    A quarter is for keys that own nothing here, the rest for those that do.
    """

    def __init__(self, size_max: int) -> None:
        self._strangers = _Share(size_max // 4)
        self._known = _Share(size_max - size_max // 4)

    def claim(
        self, params: SignatureParams, now_s: int, *, is_known: bool, is_repeatable: bool
    ) -> None:
        """Note a nonce; with no room left a request that is safe to repeat passes unnoted.

        Raises:
            SignatureInvalid: it was used before.
            RateLimited: there is no room, and the request is not safe to repeat.
        """
        name = hashlib.sha256(frame(params.keyid, params.nonce)).digest()[:16]
        for share in (self._known, self._strangers):  # a stranger may have become known since
            share.forget(now_s)
            if share.has(name):
                raise SignatureInvalid(
                    "the signature was used before", hint="sign with a new nonce"
                )
        share = self._known if is_known else self._strangers
        if not share.add(name, now_s) and not is_repeatable:
            raise RateLimited("too many signed requests", retry_after_s=WINDOW_S)


class _Share:
    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._generations: dict[int, set[bytes]] = {}

    def forget(self, now_s: int) -> None:
        last = now_s // WINDOW_S - GENERATIONS
        for old in [number for number in self._generations if number <= last]:
            del self._generations[old]

    def has(self, name: bytes) -> bool:
        return any(name in seen for seen in self._generations.values())

    def add(self, name: bytes, now_s: int) -> bool:
        if sum(map(len, self._generations.values())) >= self._size_max:
            return False
        self._generations.setdefault(now_s // WINDOW_S, set()).add(name)
        return True


class Authenticator:
    """Checks signed requests against this node's own URLs.

    The URLs are its own words, never a header's: a request that was signed for another node and
    handed on does not verify here.
    """

    def __init__(
        self,
        nonces: NonceTable,
        standing: Standing,
        strangers: UnpaidLimiter,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._nonces = nonces
        self._standing = standing
        self._strangers = strangers
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

    async def is_known(self, key: bytes) -> bool:
        """Whether a key has money or a channel here."""
        return await self._standing.is_known(key)

    async def authenticate(
        self,
        method: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        peer: str,
        is_repeatable: bool,
    ) -> bytes:
        """Return the key that signed a request; `headers` by lower-case name.

        Raises:
            SignatureInvalid: not signed, wrong, for another host, too old, or used before.
            MalformedMessage: a header does not follow the grammar.
            RateLimited: too many come from this peer, by keys that own nothing here.
        """
        host = headers.get("host", "").lower()
        candidates = [one for one in self._origins if one.partition("://")[2] == host]
        if not candidates:
            raise SignatureInvalid(
                f"this node is not {host[:80]!r}", hint="the operator sets public_urls"
            )
        params = self._verify(candidates, method, target, body, headers)
        now_s = self._clock() // 1000
        # A clock that was set back takes the start along: else all would wait until it is there again.
        self._started_s = min(self._started_s, now_s)
        if params.created_s < self._started_s:
            raise SignatureInvalid("the signature is older than this run", hint="sign again")
        key = _key_of(params.keyid)
        is_known = await self._standing.is_known(key)
        if not is_known:
            self._count_stranger(peer)
        self._nonces.claim(params, now_s, is_known=is_known, is_repeatable=is_repeatable)
        return key

    def _count_stranger(self, peer: str) -> None:
        wait_s = self._strangers.take(peer_name(peer), self._clock())
        if wait_s:
            raise RateLimited(
                "too many requests from this address by keys that own nothing here",
                hint="keys with money or a channel here are not counted",
                retry_after_s=wait_s,
            )

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
