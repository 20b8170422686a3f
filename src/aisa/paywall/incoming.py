"""What the paywall reads of a request: a few headers, in one loop over them."""

from __future__ import annotations

from typing import Final

from aisa.paywall.asgi import EXPOSED, HeaderList, Scope
from aisa.paywall.limiter import peer_name

_READ: Final = frozenset(
    {
        b"payment-tick",
        b"payment-voucher",
        b"payment-authorization",
        b"payment-signature",
        b"accept",
        b"accept-payment",
        b"content-length",
        b"transfer-encoding",
        b"origin",
    }
)
_BODILESS: Final = frozenset({"GET", "HEAD"})


class Incoming:
    """What the paywall reads of one request."""

    __slots__ = ("found", "head_bytes", "method", "path", "scope")

    def __init__(self, scope: Scope, method: str, path: str) -> None:
        self.scope = scope
        self.method = method
        self.path = path
        self.found: dict[bytes, bytes] = {}
        size = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name in _READ:
                self.found[name] = value
        self.head_bytes = size

    @property
    def has_body(self) -> bool:
        """Whether a body comes, or may come."""
        length = self.found.get(b"content-length")
        return (
            (length is not None and length != b"0")
            or b"transfer-encoding" in self.found
            # From HTTP/2 on a body may come without a word in the head.
            or (
                self.method not in _BODILESS
                and not self.scope.get("http_version", "").startswith("1")
            )
        )

    @property
    def peer(self) -> str:
        """The name that the sender is counted under."""
        client = self.scope.get("client")
        return peer_name(client[0]) if client else "unknown"

    def text(self, name: bytes) -> str | None:
        """One of the headers that are read."""
        value = self.found.get(name)
        return None if value is None else value.decode("latin-1")

    def cors(self) -> HeaderList:
        """What lets a page read our headers, if a page asks."""
        return [EXPOSED] if b"origin" in self.found else []

    def target(self) -> bytes:
        """The path and query as they were sent."""
        raw_path: bytes = self.scope.get("raw_path") or self.scope["path"].encode()
        query: bytes = self.scope.get("query_string") or b""
        return raw_path + b"?" + query if query else raw_path
