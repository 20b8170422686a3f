"""A reverse proxy as an ASGI application: any server, in any language, behind the paywall.

What is sent on is the request as it came, without what belongs to one connection or to the payment;
the answer comes back as the server wrote it, byte by byte.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Final
from urllib.parse import urlsplit

import httpx2

from aisa.errors import ConfigInvalid, UpstreamUnavailable
from aisa.paywall.asgi import HeaderList, Message, Receive, Scope, Send, send_problem
from aisa.paywall.paid import CURRENT

TIMEOUT_S: Final = 60.0
CONNECT_TIMEOUT_S: Final = 5.0
CONNECTIONS_MAX: Final = 256
PAYER: Final = b"aisa-payer"
"""The header that tells the server who pays for a call: the payer's key in hex."""

_OF_ONE_CONNECTION: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_SENT_ON: Final = _OF_ONE_CONNECTION | {
    b"accept-payment",
    b"expect",
    b"forwarded",
    b"host",
    b"payment-authorization",
    b"payment-signature",
    b"payment-tick",
    b"payment-voucher",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    PAYER,
}
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class ReverseProxy:
    """Passes every request on to the server at `upstream`; a path there comes before the request's.

    Redirects are passed back, and those that name the server name `origin` instead, if it is given.
    An answer may take `timeout_s` between any two pieces. Websockets are refused.

    Raises:
        ConfigInvalid: `upstream` is no http(s) URL of a server, or has a query.
    """

    def __init__(
        self,
        upstream: str,
        *,
        origin: str | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        parts = urlsplit(upstream)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigInvalid(
                f"{upstream[:80]!r} is not the URL of a server",
                hint="such as http://127.0.0.1:8000",
            )
        if parts.query or parts.fragment or parts.username is not None:
            raise ConfigInvalid("the server's URL has a query, a fragment or a user in it")
        self.upstream = f"{parts.scheme}://{parts.netloc}"
        self._base = httpx2.URL(self.upstream)
        self._path = parts.path.rstrip("/").encode("ascii")
        self._origin = origin
        self._timeout_s = timeout_s
        self._transport = transport
        self._http: httpx2.AsyncClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        match scope["type"]:
            case "http":
                await self._pass_on(scope, receive, send)
            case "lifespan":
                await self._live(receive, send)
            case _:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": "HTTP calls only"})

    async def close(self) -> None:
        """Close the connections to the server."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._client().send(self._request(scope, receive), stream=True)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            name = type(error).__name__
            unavailable = UpstreamUnavailable(f"the service behind this proxy failed: {name}")
            await send_problem(send, unavailable, [(b"retry-after", b"1")])
            return
        try:
            await self._pass_back(answer, send)
        finally:
            await answer.aclose()

    async def _pass_back(self, answer: httpx2.Response, send: Send) -> None:
        headers = [
            (name.lower(), self._moved(value) if name.lower() == b"location" else value)
            for name, value in _kept(answer.headers.raw, _OF_ONE_CONNECTION)
        ]
        start: Message = {"type": "http.response.start", "status": answer.status_code}
        await send({**start, "headers": headers})
        # An answer that breaks off raises here: the server in front cuts the connection.
        async for part in answer.aiter_raw():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _request(self, scope: Scope, receive: Receive) -> httpx2.Request:
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        query: bytes = scope.get("query_string") or b""
        target = self._path + raw_path + (b"?" + query if query else b"")
        return httpx2.Request(
            scope["method"],
            self._base.copy_with(raw_path=target),
            headers=self._headers(scope),
            content=_body(receive) if _has_body(scope) else None,
            extensions={"timeout": self._timeouts().as_dict()},
        )

    def _headers(self, scope: Scope) -> HeaderList:
        headers = _kept(scope["headers"], _NOT_SENT_ON)
        named = {name: value for name, value in scope["headers"] if name == b"host"}
        client = scope.get("client")
        if client:
            headers.append((b"x-forwarded-for", client[0].encode("ascii", "replace")))
        headers.append((b"x-forwarded-proto", scope.get("scheme", "http").encode("ascii")))
        if b"host" in named:
            headers.append((b"x-forwarded-host", named[b"host"]))
        call = CURRENT.get()
        if call is not None and call.payer:
            headers.append((PAYER, call.payer.hex().encode("ascii")))
        return headers

    def _moved(self, location: bytes) -> bytes:
        own = self.upstream.encode("ascii")
        rest = location[len(own) :]
        if self._origin is None or not location.startswith(own) or rest[:1] not in (b"", b"/"):
            return location
        if self._path and rest.startswith(self._path):
            rest = rest[len(self._path) :]
        return self._origin.encode("ascii") + rest

    def _timeouts(self) -> httpx2.Timeout:
        return httpx2.Timeout(self._timeout_s, connect=min(CONNECT_TIMEOUT_S, self._timeout_s))

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            limits = httpx2.Limits(max_connections=CONNECTIONS_MAX)
            self._http = httpx2.AsyncClient(
                transport=self._transport, limits=limits, trust_env=False, follow_redirects=False
            )
        return self._http

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})


def _has_body(scope: Scope) -> bool:
    names = dict(scope["headers"])
    length = names.get(b"content-length")
    if length is not None:
        return length != b"0" or scope["method"] not in _BODILESS
    return b"transfer-encoding" in names


async def _body(receive: Receive) -> AsyncGenerator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise httpx2.ReadError("the client went away")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


def _kept(headers: Iterable[tuple[bytes, bytes]], dropped: frozenset[bytes]) -> HeaderList:
    """The headers that go on: not those of one connection, nor those that it names as its own."""
    listed = list(headers)
    named = {
        token.strip().lower()
        for name, value in listed
        if name.lower() == b"connection"
        for token in value.split(b",")
    }
    return [(n, v) for n, v in listed if n.lower() not in dropped and n.lower() not in named]
